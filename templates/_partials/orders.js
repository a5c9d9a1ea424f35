// The page of orders: times in the reader's own zone, and news of what is under way. Without it, or if it fails, the
// page stands as it was sent. Lines that are a comment are not sent.
const body = document.body;
const own = (route) => "/-/waitroom/" + route + (body.dataset.room ? "?" + body.dataset.room : "");
const words = JSON.parse(document.getElementById("words").textContent);
const spoken = document.getElementById("spoken");
const regional = navigator.languages.find((tag) => tag.split("-")[0] === words.locale.split("-")[0]) || words.locale;
const clock = new Intl.DateTimeFormat(regional, { dateStyle: "medium", timeStyle: "short" });
const open = () => document.querySelector('.order[data-outcome="under_way"]') || body.dataset.view === "away";
const SOON_MS = 3000;
const LONG_MS = 30000;
let wait = SOON_MS;

const localTimes = (root) => {
  for (const time of root.querySelectorAll("time")) {
    if (time.dateTime) time.textContent = clock.format(new Date(time.dateTime));
  }
};
// A card's content, from the template of its outcome.
const fill = (card, order) => {
  const content = document.getElementById(order.outcome).content.cloneNode(true);
  const put = (name, value, time) => {
    const element = content.querySelector('[data-of="' + name + '"]');
    element.closest("div").hidden = !value;
    if (time) element.dateTime = value || "";
    else element.textContent = value || "";
  };
  put("reference", order.reference);
  put("begun", order.begun_at, true);
  put("decided", order.decided_at, true);
  content.querySelector(".box").hidden = order.recorded;
  localTimes(content);
  card.replaceChildren(content);
  card.dataset.outcome = order.outcome;
  spoken.textContent = card.querySelector("h2").textContent;
};
const show = (facts) => {
  for (const order of facts.orders) {
    const card = document.getElementById(order.id);
    if (card && card.dataset.outcome !== order.outcome) fill(card, order);
    if (!card && body.dataset.view === "list") return location.reload();
  }
  if (facts.complete && body.dataset.view === "away") location.reload();
};
const look = async () => {
  if (!document.hidden) {
    try {
      const answer = await fetch(own("orders"), { headers: { accept: "application/json" }, cache: "no-store" });
      if (answer.ok) show(await answer.json());
    } catch (lost) {}
  }
  wait = Math.min(LONG_MS, wait * 1.3);
  if (open()) setTimeout(look, wait * (0.8 + 0.4 * Math.random()));
};

localTimes(document);
if (open()) setTimeout(look, wait);
// Whoever orders again goes back to the form that led here, and sends it once more.
const again = document.getElementById("again");
if (again) {
  again.addEventListener("submit", async (event) => {
    event.preventDefault();
    const button = event.submitter || again.querySelector("button");
    button.disabled = true;
    try {
      const sent = new URLSearchParams({ attempt: button.value });
      const answer = await fetch(again.action, { method: "POST", body: sent, headers: { accept: "application/json" } });
      if (answer.ok) return location.replace(location.href.replace("again=ask", "again=said"));
    } catch (lost) {}
    button.disabled = false;
    spoken.textContent = words.lost;
  });
}
const back = document.getElementById("back");
if (back && history.length > 1) {
  back.addEventListener("click", (event) => {
    event.preventDefault();
    history.back();
  });
}
