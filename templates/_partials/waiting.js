// The waiting page, live. One chain of requests, one after the other: status while waiting, claim when called. The
// server says when to ask next. It shares its scope with the scripts beside it.
const HIDDEN_S = 30;
const HIDDEN_HOLD_S = 25;
const RENEWED_MS = 60000;
const RETRIED_MS = 10000;
const ENTERED_MS = 5000;

const target = facts.target;
let retryAfter = 0;
let timer = 0;
let due = 0;
let asking = null;
let askedAt = 0;
let patience = 0;
let again = false;
let done = false;
let joining = false;

// Not twice within the gap, so that no fault becomes a loop. Storage may be forbidden: then the kind of
// navigation tells whether this page was already tried again.
const mayGo = (what, gapMs) => {
  try {
    const last = Number(sessionStorage.getItem("waitroom:" + what));
    const ago = Date.now() - last;
    if (last && ago >= 0 && ago < gapMs) return false;
    sessionStorage.setItem("waitroom:" + what, String(Date.now()));
    return true;
  } catch (blocked) {
    return what === "entered" || (Boolean(arrival) && arrival.type !== "reload");
  }
};
const goAway = (go) => {
  done = true;
  clearTimeout(timer);
  go();
};
const reload = (gapMs) => {
  if (!mayGo("reloaded", gapMs)) return false;
  goAway(() => location.reload());
  return true;
};
// Only to a page of this site. The same address again needs a reload: replacing it by itself does
// nothing where it has a fragment.
const goIn = () => {
  let to = location.href;
  if (!mayGo("entered", ENTERED_MS)) return;
  try {
    const wanted = new URL(target || "", location.href);
    if (wanted.origin === location.origin) to = wanted.href;
  } catch (malformed) {}
  const here = location.href.split("#")[0];
  goAway(() => (to.split("#")[0] === here ? location.reload() : location.replace(to)));
};

const stop = (state) => {
  done = true;
  facts.state = state;
  partWays();
  show();
};
const take = (fresh) => {
  if (fresh.state === "left") return stop("left");
  if (fresh.state === "admitted") {
    if (!document.hidden) return goIn();
    // Inside by another tab: this one comes after when it is looked at.
    fresh = { state: "called", next_poll_s: HIDDEN_S };
  }
  if (facts.state === "away" || facts.state === "retry") {
    if (fresh.state !== "held" || typeof fresh.number === "number") reload(RETRIED_MS);
    facts.next_poll_s = fresh.next_poll_s;
    return undefined;
  }
  if (fresh.state === "none") {
    if (facts.state === "before") return (joining = true);
    return reload(RENEWED_MS) || stop("nocookies");
  }
  if (!section(fresh.state)) return reload(RETRIED_MS);
  const before = facts;
  facts = Object.assign({}, before, { hold_s: 0, message: null, change: null, wait_s: null, kept_until: null }, fresh);
  if (typeof facts.position !== "number") facts.position = before.position;
  if (facts.number === before.number && before.position !== null && facts.position > before.position) {
    facts.position = before.position;
    if (typeof facts.ahead === "number") facts.ahead = Math.min(facts.ahead, facts.position - 1);
  }
  checked = fresh.server_time || new Date(performance.now() + ahead).toISOString();
  setClock(checked);
  return show();
};

const later = (seconds) => {
  clearTimeout(timer);
  due = performance.now() + Math.max(0, seconds) * 1000;
  if (!done) timer = setTimeout(step, due - performance.now());
};
const delay = () => {
  const spread = (s, part) => s * (1 - part + Math.random() * 2 * part);
  const next = Math.min(120, Math.max(0.2, Number(facts.next_poll_s) || 5));
  if (failures) return Math.max(retryAfter, spread(Math.min(60, Math.max(next, 2 ** failures)), 0.3));
  if (document.hidden && !facts.hold_s) return spread(Math.max(next, Math.min(2 * next, HIDDEN_S)), 0.2);
  return spread(next, 0.2);
};
const ask = async (path, method, seconds) => {
  patience = seconds;
  askedAt = Date.now();
  const exchange = (asking = new AbortController());
  const limit = setTimeout(() => exchange.abort(), patience * 1000);
  try {
    const answer = await fetch(path, {
      method,
      headers: { Accept: "application/json" },
      credentials: "same-origin",
      cache: "no-store",
      redirect: "error",
      signal: exchange.signal,
    });
    retryAfter = answer.ok ? 0 : Math.min(120, Number(answer.headers.get("Retry-After")) || 0);
    const fresh = await answer.json();
    if (!fresh || typeof fresh.state !== "string") throw new Error("no state");
    return fresh;
  } finally {
    clearTimeout(limit);
    if (asking === exchange) asking = null;
  }
};
const exchange = () => {
  if (joining) return ask(own("join"), "POST", 15);
  if (facts.state === "called" && !document.hidden) return ask(own("claim"), "POST", 45);
  const longest = document.hidden ? Math.max(facts.hold_s, HIDDEN_HOLD_S) : facts.hold_s;
  const hold = !failures && facts.hold_s > 0 ? Math.min(55, longest) : 0;
  const known = typeof facts.position === "number" ? "shown=" + facts.position : "";
  const held = hold ? "hold=" + hold + "&state=" + facts.state : "";
  return ask(own("status", known, held), "GET", hold + 15);
};
// Where something on the way bars our addresses but not the page's own, the page itself is asked for.
const askForPage = async () => {
  try {
    const answer = await fetch(location.href, { method: "HEAD", cache: "no-store" });
    const ours = /problem.json/.test(answer.headers.get("Content-Type"));
    if (answer.status < 500 || ours) reload(RENEWED_MS);
  } catch (fault) {}
};
const step = async () => {
  clearTimeout(timer);
  if (done || asking) return;
  if (!leads) {
    // What is due stays due, for when the lock is had.
    if (!document.hidden && askedAt && Date.now() - askedAt > SILENT_MS) lead(true);
    timer = setTimeout(step, delay() * 1000);
    return;
  }
  const before = facts.state;
  try {
    const fresh = await exchange();
    failures = retryAfter = 0;
    joining = false;
    tell({ fresh, failures });
    take(fresh);
    again = again || joining || (facts.state === "called" && before !== "called" && !document.hidden);
  } catch (fault) {
    if (!again) failures += 1;
    tell({ failures });
    if (failures > 2 && fault instanceof TypeError && navigator.onLine) askForPage();
  }
  try {
    showLost();
  } catch (fault) {}
  later(again ? 0 : delay());
  again = false;
};

const now = () => {
  if (done) return;
  const ago = Date.now() - askedAt;
  if (asking) {
    // Asleep meanwhile, or the turn is to be taken: the answer under way is not waited for.
    if (ago < 0 || ago > patience * 1000 || facts.state === "called") {
      again = true;
      asking.abort();
    }
  } else if (ago < 0 || ago > 1000 || facts.state === "called") {
    later(0);
  }
};
document.addEventListener("visibilitychange", () => {
  if (view() !== body.dataset.state) show();
  if (document.hidden) return quit && quit();
  lead(true);
  return now();
});
addEventListener("pagehide", () => {
  again = Boolean(asking);
  if (asking) asking.abort();
  partWays();
});
addEventListener("pageshow", (event) => {
  if (!event.persisted || done) return;
  meet();
  now();
});
// A network that comes back brings everybody at once: spread them.
addEventListener("online", () => {
  showLost();
  if (!asking) later(Math.random() * 2);
});
addEventListener("offline", showLost);
if (at("leave")) {
  at("leave").onsubmit = async (event) => {
    event.preventDefault();
    done = true;
    if (asking) asking.abort();
    try {
      await ask(own("leave"), "POST", 15);
    } catch (fault) {
      return at("leave").submit();
    }
    tell({ fresh: { state: "left" }, failures: 0 });
    return stop("left");
  };
}

if (at("again")) at("again").hidden = true;
if (navigator.cookieEnabled) {
  later(facts.state === "called" ? 0 : delay());
  meet();
  show();
} else {
  stop("nocookies");
}
