// Copies the link at a press, where the browser lets a page do that. Lines that are a comment are not sent.
const copy = document.getElementById("copy");
copy.hidden = !navigator.clipboard;
copy.onclick = async () => {
  try {
    await navigator.clipboard.writeText(document.getElementById("link").href);
    copy.textContent = copy.dataset.done;
  } catch (refused) {
    copy.hidden = true;
  }
};
