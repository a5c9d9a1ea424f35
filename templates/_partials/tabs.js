// All tabs of a browser share one chain of requests: the tab that holds the lock asks, and tells the others what it
// hears. The tab last looked at takes the lock; who closes leaves it to the next. Where the browser has no locks
// (they need https), each tab asks for itself.
const SHARED = "waitroom" + body.dataset.room;
const SILENT_MS = 90000;
let leads = !(navigator.locks && self.BroadcastChannel);
let channel = null;
let queue = null;
let quit = null;
const tell = (news) => {
  if (channel) channel.postMessage(news);
};
const lead = (atOnce) => {
  if (!channel || leads) return;
  if (queue) queue.abort();
  queue = new AbortController();
  let held = false;
  const over = (fault) => {
    if (!held && fault && fault.name !== "AbortError") leads = held = true;
    else if (held) {
      leads = false;
      lead(false);
    }
  };
  const hold = () => {
    held = leads = true;
    later(Math.max(0, due - performance.now()) / 1000);
    return new Promise((give) => (quit = give));
  };
  navigator.locks.request(SHARED, atOnce ? { steal: true } : { signal: queue.signal }, hold).then(over, over);
};
const meet = () => {
  if (leads || channel) return;
  channel = new BroadcastChannel(SHARED);
  channel.onmessage = (event) => {
    if (done) return;
    askedAt = Date.now();
    failures = event.data.failures;
    if (event.data.fresh) take(event.data.fresh);
    showLost();
    later(delay());
  };
  lead(!document.hidden);
};
const partWays = () => {
  if (!channel) return;
  channel.close();
  channel = null;
  queue.abort();
  if (quit) quit();
};
