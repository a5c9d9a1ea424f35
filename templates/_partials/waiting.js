// The waiting page, live. One chain of requests, one after the other: status while waiting, claim when
// called. The server says when to ask next. Without this script, or if it fails, the page stands as sent.
// Lines that are a comment are not sent.
document.addEventListener("DOMContentLoaded", () => {
  "use strict";
  const HIDDEN_S = 30;
  const HIDDEN_HOLD_S = 25;
  const SPOKEN_MS = 60000;
  const RENEWED_MS = 60000;
  const RETRIED_MS = 10000;
  const ENTERED_MS = 5000;

  const body = document.body;
  // The address of an own route, with what names this page's room and the parts of its query that are not empty.
  const own = (route, ...queries) =>
    "/-/waitroom/" + route + ["", ...[body.dataset.room, ...queries].filter(Boolean)].join("&").replace("&", "?");
  const at = (id) => document.getElementById(id);
  const words = JSON.parse(at("words").textContent);
  const numbers = new Intl.NumberFormat(words.locale, { maximumFractionDigits: 1 });
  const plurals = new Intl.PluralRules(words.locale);
  // Times as the reader's region writes them, where that is a region of the page's language.
  const regional = navigator.languages.find((tag) => tag.split("-")[0] === words.locale.split("-")[0]) || words.locale;
  const calm = matchMedia("(prefers-reduced-motion: reduce)");

  let facts = JSON.parse(at("facts").textContent);
  const target = facts.target;
  let checked = facts.server_time;
  let failures = 0;
  let retryAfter = 0;
  let timer = 0;
  let asking = null;
  let askedAt = 0;
  let patience = 0;
  let again = false;
  let done = false;
  let drawn = facts.position;
  let tween = 0;
  let said = "";
  let saidAt = Date.now();

  // What depends on a number is a sentence for each category of number.
  const pick = (text, number) => (typeof text === "string" ? text : text[plurals.select(number)] || text.other);
  const fill = (text, values) => text.replace(/\{(\w+)\}/g, (_, name) => values[name]);
  const put = (id, text) => {
    const element = at(id);
    if (element && element.textContent !== text) element.textContent = text;
  };
  const clock = () => new Intl.DateTimeFormat(regional, { timeStyle: "medium" }).format(new Date(checked));

  // The same rounding as waitroom/edge/words.py; a browser test compares the two.
  const waitInWords = (wait) => {
    if (!wait) return words.wait_unknown;
    if (wait.high < 60) return words.wait_moment;
    const minutes = wait.high / 60;
    const hours = minutes > 90;
    const step = hours ? 30 : minutes > 20 ? 5 : 1;
    const unit = hours ? 60 : 1;
    const high = (Math.ceil(minutes / step) * step) / unit;
    const low = (Math.floor(wait.low / 60 / step) * step) / unit;
    if (high === 1 && !hours) return words.wait_minute;
    const form = low === 0 ? "_up_to" : low === high ? "_about" : "";
    const text = pick(words[(hours ? "wait_hours" : "wait_minutes") + form], high);
    return fill(text, { low: numbers.format(low), high: numbers.format(high) });
  };
  const rateInWords = (rate) =>
    rate >= 1
      ? fill(words.rate_minute, { n: numbers.format(rate < 10 ? Math.round(rate * 10) / 10 : Math.round(rate)) })
      : fill(words.rate_hour, { n: numbers.format(Math.max(1, Math.round(rate * 60))) });

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
      const entry = performance.getEntriesByType("navigation")[0];
      return what === "entered" || (Boolean(entry) && entry.type !== "reload");
    }
  };
  const leave = (go) => {
    done = true;
    clearTimeout(timer);
    go();
  };
  const reload = (gapMs) => {
    if (!mayGo("reloaded", gapMs)) return false;
    leave(() => location.reload());
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
    leave(() => (to.split("#")[0] === here ? location.reload() : location.replace(to)));
  };

  const speak = (text, urgent) => {
    const now = Date.now();
    if (text === said || (!urgent && Math.abs(now - saidAt) < SPOKEN_MS)) return;
    said = text;
    saidAt = now;
    put("spoken", text);
  };

  const draw = (position) => {
    const figure = at("position");
    if (!figure) return;
    const text = numbers.format(position);
    figure.textContent = text;
    figure.dataset.size = text.length > 6 ? "9" : text.length > 4 ? "6" : "4";
  };
  // The figure runs down to where it belongs; it never runs up.
  const runTo = (position) => {
    const from = drawn;
    drawn = position;
    cancelAnimationFrame(tween);
    if (from === null || from <= position || calm.matches || document.hidden) return draw(position);
    const began = performance.now();
    const frame = (now) => {
      const part = Math.min(1, Math.max(0, (now - began) / 900));
      draw(Math.round(position + (from - position) * Math.pow(1 - part, 3)));
      if (part < 1) tween = requestAnimationFrame(frame);
    };
    tween = requestAnimationFrame(frame);
  };
  // How much of the line before this visitor has gone since they first saw this page.
  const showProgress = (position) => {
    const key = "waitroom:first:" + body.dataset.room + facts.number;
    let first = position;
    try {
      first = Math.max(position, Number(sessionStorage.getItem(key)));
      sessionStorage.setItem(key, String(first));
    } catch (blocked) {
      return;
    }
    at("track").hidden = false;
    at("progress").style.setProperty("--gone", String((first - position) / Math.max(1, first - 1)));
  };

  const optional = (id, value, text) => {
    const element = at(id);
    if (!element) return;
    element.parentNode.hidden = value === null || value === undefined;
    if (!element.parentNode.hidden) put(id, text(value));
  };
  const values = () => ({
    position: facts.position === null ? "–" : numbers.format(facts.position),
    wait: waitInWords(facts.wait_s),
    shop: body.dataset.shop,
  });
  const setTitle = () => {
    const form = words["title_" + facts.state];
    if (form) document.title = fill(form, values());
  };
  const setState = (state) => {
    if (body.dataset.state === state) return;
    body.dataset.state = state;
    for (const element of document.querySelectorAll("[data-for]")) {
      element.hidden = !element.dataset.for.split(" ").includes(state);
    }
  };
  const show = () => {
    const changed = body.dataset.state !== facts.state;
    setState(facts.state);
    if (at("to") && !at("to").value) at("to").value = location.pathname + location.search;
    if (facts.position !== null && at("position")) {
      runTo(facts.position);
      showProgress(facts.position);
    }
    optional("ahead", facts.ahead, (n) => numbers.format(n));
    optional("waiting", facts.waiting, (n) => numbers.format(n));
    optional("rate", facts.rate_per_min, rateInWords);
    put("wait", waitInWords(facts.wait_s));
    put("checked", clock());
    if (at("message")) {
      put("message", facts.message || "");
      at("message").hidden = !facts.message;
    }
    const news = words["change_" + facts.change] || "";
    const isNews = news !== "" && at("change") && at("change").textContent !== news;
    if (at("change")) {
      put("change", news);
      at("change").hidden = !news;
    }
    setTitle();
    const spoken = words["spoken_" + facts.state];
    if (spoken) speak((isNews ? news + " " : "") + fill(spoken, values()), changed || isNews);
  };
  const showLost = () => {
    const box = at("lost");
    const lost = failures > 1 || (failures > 0 && !navigator.onLine) || navigator.onLine === false;
    body.dataset.link = lost ? "lost" : "live";
    if (!box) return;
    box.hidden = !lost;
    if (lost) put("lost", fill(navigator.onLine ? words.lost_away : words.lost_offline, { time: clock() }));
  };

  const noCookies = () => {
    done = true;
    facts.state = "nocookies";
    show();
  };
  const take = (fresh) => {
    if (fresh.state === "admitted") return goIn();
    const bare = facts.state === "away" || facts.state === "retry";
    if (bare) {
      if (fresh.state !== "held" || typeof fresh.number === "number") reload(RETRIED_MS);
      facts.next_poll_s = fresh.next_poll_s;
      return undefined;
    }
    if (fresh.state === "none") return reload(RENEWED_MS) || noCookies();
    if (!document.querySelector('.say [data-for="' + fresh.state + '"]')) return reload(RETRIED_MS);
    const before = facts;
    facts = Object.assign({}, before, { hold_s: 0, message: null, change: null, wait_s: null }, fresh);
    if (typeof facts.position !== "number") facts.position = before.position;
    if (facts.number === before.number && before.position !== null && facts.position > before.position) {
      facts.position = before.position;
      if (typeof facts.ahead === "number") facts.ahead = Math.min(facts.ahead, facts.position - 1);
    }
    checked = fresh.server_time || new Date().toISOString();
    return show();
  };

  const later = (seconds) => {
    clearTimeout(timer);
    if (!done) timer = setTimeout(step, Math.max(0, seconds) * 1000);
  };
  const delay = () => {
    const spread = (s, part) => s * (1 - part + Math.random() * 2 * part);
    const next = Math.min(120, Math.max(0.2, Number(facts.next_poll_s) || 5));
    if (failures) return Math.max(retryAfter, spread(Math.min(60, Math.max(next, 2 ** failures)), 0.3));
    if (document.hidden && !facts.hold_s) return spread(Math.max(next, Math.min(2 * next, HIDDEN_S)), 0.2);
    return spread(next, 0.2);
  };
  const exchange = async (claiming) => {
    const longest = document.hidden ? Math.max(facts.hold_s, HIDDEN_HOLD_S) : facts.hold_s;
    const hold = !claiming && !failures && facts.hold_s > 0 ? Math.min(55, longest) : 0;
    patience = claiming ? 45 : hold + 15;
    askedAt = Date.now();
    asking = new AbortController();
    const limit = setTimeout((exchange) => exchange.abort(), patience * 1000, asking);
    const known = typeof facts.position === "number" ? "shown=" + facts.position : "";
    const held = hold ? "hold=" + hold + "&state=" + facts.state : "";
    try {
      const answer = await fetch(claiming ? own("claim") : own("status", known, held), {
        method: claiming ? "POST" : "GET",
        headers: { Accept: "application/json" },
        credentials: "same-origin",
        cache: "no-store",
        redirect: "error",
        signal: asking.signal,
      });
      retryAfter = answer.ok ? 0 : Math.min(120, Number(answer.headers.get("Retry-After")) || 0);
      const fresh = await answer.json();
      if (!fresh || typeof fresh.state !== "string") throw new Error("no state");
      return fresh;
    } finally {
      clearTimeout(limit);
      asking = null;
    }
  };
  const step = async () => {
    if (done || asking) return;
    clearTimeout(timer);
    const claiming = facts.state === "called" && !document.hidden;
    try {
      const fresh = await exchange(claiming);
      failures = 0;
      retryAfter = 0;
      const before = facts.state;
      take(fresh);
      if (facts.state === "called" && before !== "called" && !document.hidden) again = true;
    } catch (fault) {
      if (!again) failures += 1;
      // The document itself claims too, where the script's way is barred.
      if (claiming && failures > 1 && navigator.onLine) reload(RENEWED_MS);
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
    if (!document.hidden) now();
  });
  addEventListener("pageshow", (event) => {
    if (event.persisted) now();
  });
  // A network that comes back brings everybody at once: spread them.
  addEventListener("online", () => {
    showLost();
    if (!asking) later(Math.random() * 2);
  });
  addEventListener("offline", showLost);

  if (at("again")) at("again").hidden = true;
  if (!navigator.cookieEnabled) return noCookies();
  later(facts.state === "called" ? 0 : delay());
  show();
  return undefined;
});
