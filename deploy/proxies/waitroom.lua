-- Asks the gateway whether a request may go to the shop: `http-request lua.waitroom`, with haproxy-auth.cfg.
-- Sets txn.waitroom_in, and what goes along: txn.waitroom_place, _admitted_at, _signature, _cookie. Where the gateway says
-- no, or does not answer, nothing is set. Change the address; of several gateways let it be a listener of this HAProxy
-- that spreads over them.
local QUESTION = "http://127.0.0.1:8080/-/waitroom/auth?else=401"
local LIMIT_MS = 5000

-- They are about the connection or the body, and the question has neither.
local LEFT_OUT = { "connection", "upgrade", "content-length", "transfer-encoding", "expect", "te", "x-forwarded-method",
    "x-forwarded-uri" }
local ANSWERS = { ["waitroom-place"] = "place", ["waitroom-admitted-at"] = "admitted_at",
    ["waitroom-signature"] = "signature", ["set-cookie"] = "cookie" }

core.register_action("waitroom", { "http-req" }, function(txn)
    local fields = {}
    for name, values in pairs(txn.http:req_get_headers()) do
        fields[name] = {}
        for _, value in pairs(values) do
            table.insert(fields[name], value)
        end
    end
    for _, name in ipairs(LEFT_OUT) do
        fields[name] = nil
    end
    fields["x-forwarded-method"] = { txn.sf:method() }
    fields["x-forwarded-uri"] = { txn.sf:pathq() }
    local answer = core.httpclient():get({ url = QUESTION, headers = fields, timeout = LIMIT_MS })
    if answer == nil or answer.status ~= 200 then
        return
    end
    for field, name in pairs(ANSWERS) do
        local values = answer.headers[field]
        if values ~= nil then
            txn:set_var("txn.waitroom_" .. name, values[0])
        end
    end
    txn:set_var("txn.waitroom_in", true)
end)
