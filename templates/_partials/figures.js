// What the page says, in words and figures. The scripts beside this one share its scope; `waiting.js` is the last.
// Without them, or if one fails, the page stands as it was sent. Lines that are a comment are not sent.
const body = document.body;
// Our own markup for other states, the same in everybody's page: see waiting.html.
for (const part of document.querySelectorAll('script[type="text/html"]')) {
  part.replaceWith(document.createRange().createContextualFragment(part.textContent));
}
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

// What depends on a number is a sentence for each category of number.
const pick = (text, number) => (typeof text === "string" ? text : text[plurals.select(number)] || text.other);
const fill = (text, values) => text.replace(/\{(\w+)\}/g, (_, name) => values[name]);
const put = (id, text) => {
  const element = at(id);
  if (element && element.textContent !== text) element.textContent = text;
};
// A box with a sentence, or none.
const box = (id, text) => {
  if (!at(id)) return;
  put(id, text || "");
  at(id).hidden = !text;
};
const time = (when, style) => new Intl.DateTimeFormat(regional, style).format(new Date(when));

// The same rounding as waitroom/edge/pages/words.py; a browser test compares the two.
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

const setFigure = (id, text) => {
  const figure = at(id);
  if (!figure) return;
  put(id, text);
  figure.dataset.size = text.length > 6 ? "9" : text.length > 4 ? "6" : "4";
};
// The figure runs down to where it belongs; it never runs up.
let drawn = facts.position;
let tween = 0;
const draw = (position) => setFigure("position", numbers.format(position));
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
// How much of the line before this visitor has gone since they first saw this page. Until the next answer the bar
// goes on at the rate the line has, by half of what is left at the most; it never goes back.
let gone = 0;
const showProgress = () => {
  const position = facts.position;
  const key = "waitroom:first:" + body.dataset.room + facts.number;
  let first = position;
  try {
    first = Math.max(position, Number(sessionStorage.getItem(key)));
    sessionStorage.setItem(key, String(first));
  } catch (blocked) {
    return;
  }
  const seconds = facts.state === "waiting" && facts.rate_per_min ? Math.max(facts.next_poll_s, facts.hold_s) : 0;
  const falls = seconds ? (facts.rate_per_min / 60) * seconds : 0;
  const soon = Math.max((position + 1) / 2, position - falls);
  gone = Math.max(gone, (first - soon) / Math.max(1, first - 1));
  at("track").hidden = first < 2;
  at("progress").style.setProperty("--for", Math.max(1.6, seconds) + "s");
  at("progress").style.setProperty("--gone", gone.toFixed(4));
};
