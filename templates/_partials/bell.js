// A sound, and where the browser has them a notification, when the turn comes: only for whoever pressed the button.
let sound = null;
let rings = false;
const chime = () => {
  [523.25, 783.99].forEach((pitch, index) => {
    const begins = sound.currentTime + index * 0.18;
    const tone = sound.createOscillator();
    const gain = sound.createGain();
    tone.frequency.value = pitch;
    gain.gain.setValueAtTime(0.0001, begins);
    gain.gain.exponentialRampToValueAtTime(0.2, begins + 0.03);
    gain.gain.exponentialRampToValueAtTime(0.0001, begins + 0.9);
    tone.connect(gain).connect(sound.destination);
    tone.start(begins);
    tone.stop(begins + 1);
  });
};
const ring = () => {
  if (!rings) return;
  try {
    chime();
    if (document.hidden && self.Notification && Notification.permission === "granted") {
      const note = new Notification(heading(), { body: body.dataset.shop, tag: SHARED, lang: document.documentElement.lang });
      note.onclick = () => {
        self.focus();
        note.close();
      };
    }
  } catch (refused) {}
};
if (at("bell") && self.AudioContext) {
  at("bell").hidden = false;
  at("bell").onclick = () => {
    rings = !rings;
    at("bell").setAttribute("aria-pressed", String(rings));
    if (!rings) return;
    sound = sound || new AudioContext();
    sound.resume().then(chime, () => {});
    if (self.Notification && Notification.permission === "default") Notification.requestPermission();
  };
}
