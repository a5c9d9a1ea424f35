// The countdown, by the server's time. Between two answers a clock carries it on that nobody can set; where that one
// and the device's part ways, the device slept or was set, and the server is asked.
const [arrival] = performance.getEntriesByType("navigation");
let ahead = Date.parse(facts.server_time) - ((arrival && arrival.responseStart) || performance.now());
let parted = Date.now() - performance.now();
let ticking = 0;
let rest = Infinity;
const setClock = (text) => {
  const found = Date.parse(text) - performance.now();
  if (Math.abs(found - ahead) > 750) ahead = found;
};
const counted = () => (facts.state === "before" && facts.lobby_at) || facts.opens_at;
const lobbyS = () => (Date.parse(facts.opens_at) - Date.parse(facts.lobby_at)) / 1000 || 4;
const remaining = (seconds) => {
  if (seconds >= 172800) {
    const days = { style: "unit", unit: "day", unitDisplay: "long" };
    return new Intl.NumberFormat(words.locale, days).format(Math.floor(seconds / 86400));
  }
  const two = new Intl.NumberFormat(words.locale, { minimumIntegerDigits: 2 });
  const [h, m, s] = [Math.floor(seconds / 3600), Math.floor(seconds / 60) % 60, seconds % 60];
  return (h ? numbers.format(h) + ":" + two.format(m) : numbers.format(m)) + ":" + two.format(s);
};
const tick = () => {
  clearTimeout(ticking);
  const counts = ["before", "lobby"].includes(facts.state) && counted();
  ticking = setTimeout(tick, counts ? 1005 - ((performance.now() + ahead) % 1000) : 10000);
  const drift = Date.now() - performance.now();
  if (Math.abs(drift - parted) > 2000) now();
  parted = drift;
  if (!counts) return;
  const was = rest;
  rest = Math.max(0, Math.ceil((Date.parse(counts) - performance.now() - ahead) / 1000));
  const text = remaining(rest);
  setFigure("countdown", text);
  put("opening", text);
  if (facts.position === null) document.title = text + " · " + body.dataset.shop;
  if ([60, 300, 600, 1800].some((mark) => rest <= mark && was > mark && was < mark * 2)) speak(heading() + " " + text);
  if (rest > 0 || was === 0 || was > 4) return;
  // Everybody's clock shows zero at once. Nothing is lost by coming into the lobby a little later; and at the opening
  // nobody asks: whose turn is near has a request held, and the others have their place already.
  if (facts.state === "before") later(Math.random() * Math.min(20, lobbyS() / 4));
  else if (typeof facts.position === "number") {
    facts.state = "waiting";
    show();
  }
};
