// Puts the facts on the page, and says what is new: aloud where somebody listens, and never more than once a minute
// unless everything changed.
const SPOKEN_MS = 60000;
let checked = facts.server_time;
let failures = 0;
let said = "";
let saidAt = Date.now();
let spokenAt = facts.position;
// Who wants to know of every new showing.
const shown = [];

const speak = (text, urgent) => {
  const ago = Math.abs(Date.now() - saidAt);
  if (text === said || (!urgent && ago < SPOKEN_MS)) return;
  said = text;
  saidAt = Date.now();
  put("spoken", text);
};
const optional = (id, value, text) => {
  const element = at(id);
  if (!element) return;
  element.parentNode.hidden = value === null || value === undefined;
  if (!element.parentNode.hidden) put(id, text(value));
};
const DAY = { weekday: "long", day: "numeric", month: "long" };
const HOUR = { hour: "numeric", minute: "2-digit", timeZoneName: "short" };
const view = () => {
  if (facts.state === "lobby" && typeof facts.position === "number") return "drawn";
  return facts.state === "called" && document.hidden ? "called-away" : facts.state;
};
const section = (of) => document.querySelector('.say [data-for="' + of + '"]');
const heading = () => section(view()).querySelector("h1").textContent;
const sentences = (of) => heading() + ". " + section(of).querySelector(".lead").textContent;
const values = () => ({
  position: facts.position === null ? "–" : numbers.format(facts.position),
  wait: waitInWords(facts.wait_s),
  shop: body.dataset.shop,
});
// Whoever stood on something that goes is put before the news, not at the top of the page.
const setView = (to) => {
  if (body.dataset.state === to) return;
  body.dataset.state = to;
  const focused = document.activeElement;
  for (const element of document.querySelectorAll("[data-for]")) {
    element.hidden = !element.dataset.for.split(" ").includes(to);
  }
  if (!focused || focused === body || focused.getClientRects().length) return;
  const news = section(to).querySelector("h1");
  news.tabIndex = -1;
  news.focus();
};
const show = () => {
  const now = view();
  const was = body.dataset.state;
  const changed = was !== now;
  setView(now);
  if (at("to") && !at("to").value) at("to").value = facts.target || location.pathname + location.search;
  if (facts.position !== null && at("position")) {
    runTo(facts.position);
    showProgress();
  }
  const ahead = facts.ahead;
  const figure = (n) => numbers.format(n);
  optional("ahead", ahead, figure);
  optional("waiting", facts.waiting, figure);
  optional("stock", facts.stock, (n) => fill(words.stock, { n: figure(n) }));
  optional("rate", facts.rate_per_min, rateInWords);
  put("wait", waitInWords(facts.wait_s));
  put("checked", time(checked, { timeStyle: "medium" }));
  box("message", facts.message);
  const news = words["change_" + facts.change] || (typeof facts.stock === "number" && ahead >= facts.stock && words.scarce) || "";
  const kept = now === "called-away" && facts.kept_until;
  const isNews = news !== "" && at("change") && at("change").textContent !== news;
  box("change", kept ? fill(words.kept, { time: time(kept, { timeStyle: "short" }) }) : news);
  const moment = counted();
  if (moment) put("moment", time(moment, new Date(moment).toDateString() === new Date().toDateString() ? HOUR : { ...DAY, ...HOUR }));
  const form = words["title_" + now];
  document.title = form ? fill(form, values()) : heading() + " · " + body.dataset.shop;
  const text = now === "waiting" ? fill(words.spoken_waiting, values()) : sentences(now);
  // The figure is spoken when it has moved by a tenth, or is near: not each minute for an hour.
  const moved = !(facts.position > 10 && facts.position > spokenAt * 0.9);
  if (changed || isNews || moved) {
    speak((isNews ? news + " " : "") + text, changed || isNews);
    if (said === text) spokenAt = facts.position;
  }
  if (facts.state === "called" && !/^called/.test(was)) ring();
  tick();
  for (const look of shown) look();
};
const showLost = () => {
  const lost = failures > 1 || (failures > 0 && !navigator.onLine) || navigator.onLine === false;
  body.dataset.link = lost ? "lost" : "live";
  const text = navigator.onLine ? words.lost_away : words.lost_offline;
  box("lost", lost && fill(text, { time: time(checked, { timeStyle: "medium" }) }));
};
