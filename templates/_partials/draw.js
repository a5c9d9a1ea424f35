// The draw, checked by the page: the commitment is noted when it is first seen; once the seed is revealed, it and this
// visitor's place are computed anew, as deploy/draw.md in the gateway's sources says. Without a secure connection a
// browser computes no hashes: then the page says so, and there is the record to read.
let stage = "";
const unhex = (text) => text.match(/../g).map((pair) => parseInt(pair, 16));
const sha256 = async (data) => [...new Uint8Array(await crypto.subtle.digest("SHA-256", new Uint8Array(data)))];
const packed = (...parts) =>
  parts.flatMap((part) => {
    const data = [...(part.map ? part : new TextEncoder().encode(part))];
    return [0, 0, data.length >> 8, data.length & 255, ...data];
  });
const placeIn = async (record, seed) => {
  const people = record.people;
  const key = await sha256(packed(seed, String(people), record.note));
  const rows = Math.ceil(Math.sqrt(people));
  const sizes = [rows, Math.ceil(people / rows)];
  let index = facts.number;
  for (const [from, to] of record.left_out) if (from < facts.number) index -= to - from;
  do {
    const field = [Math.floor(index / sizes[1]), index % sizes[1]];
    for (let turn = 0; turn < (people < 256 ? 48 : 12); turn += 1) {
      const side = turn % 2;
      const value = field[1 - side];
      const hash = await sha256([...key, turn, 0, 0, 0, 0, value >> 24, value >> 16, value >> 8, value]);
      field[side] = hash.slice(0, 8).reduce((rest, byte) => (rest * 256 + byte) % sizes[side], 0) + field[side];
      field[side] %= sizes[side];
    }
    index = field[0] * sizes[1] + field[1];
  } while (index >= people);
  return index;
};
shown.push(async () => {
  const isPlaced = typeof facts.place === "number";
  const before = stage;
  stage = isPlaced ? facts.place : facts.state;
  if (stage === before || !(isPlaced || stage === "lobby")) return;
  try {
    const record = await (await fetch(own("draw"))).json();
    const key = "draw" + record.generation;
    const noted = sessionStorage.getItem(key) || record.commitment;
    sessionStorage.setItem(key, noted);
    if (!isPlaced || facts.number >= record.numbers) return;
    if (isSecureContext) {
      const seed = unhex(record.seed);
      const told = packed(record.version, record.room, record.generation, record.source, record.opened_at, seed);
      const kept = String(await sha256(told)) === String(unhex(noted));
      const agrees = kept && facts.place === (await placeIn(record, seed));
      put("fairly", at("fair").dataset[agrees ? "agrees" : "differs"]);
      at("fair").classList.toggle("lost", !agrees);
    } else put("fairly", at("fair").dataset.unchecked);
    at("fair").hidden = false;
  } catch (fault) {
    stage = "";
  }
});
