const PARALLEL = 3;
const ACCEPTED = "Only pictures, videos and sounds can be uploaded";
// The endpoints' own hint is for programs.
const SIGNED_OUT =
  "you are no longer signed in. Sign in again in another tab of this browser, then try again here";
const KEPT = "Cancelled, but all of it had been sent: Cloudinary may keep it";
// Browsers know no type for these, but Cloudinary does.
const KNOWN_ENDINGS = {
  image: ["avif", "heic", "heif", "jp2", "jxl", "psd", "tif", "tiff", "webp"],
  video: ["3gp", "aac", "flac", "flv", "m4v", "mkv", "mov", "mpeg", "mpg", "ogv", "ts", "wmv"],
};
const IDLE = new Set(["saved", "failed", "cancelled"]);

// Beside the component and not in it: who leaves the page and comes back finds the list again.
const uploads = [];
let mounted = null;

export default function ({ parentElement, setTriggerValue }) {
  const area = parentElement.querySelector(".upload");
  mounted = area;
  const input = area.querySelector("input");
  const drop = area.querySelector(".drop");
  input.onchange = () => {
    add([...input.files]);
    // Else choosing the same file again would change nothing.
    input.value = "";
  };
  drop.ondragover = drop.ondragenter = (event) => {
    event.preventDefault();
    drop.classList.add("over");
  };
  drop.ondragleave = () => drop.classList.remove("over");
  drop.ondrop = async (event) => {
    event.preventDefault();
    drop.classList.remove("over");
    add(await droppedFiles(event.dataTransfer));
  };
  area.querySelector(".retry-all").onclick = () => {
    uploads.filter((upload) => upload.canRetry).forEach((upload) => upload.queue());
    work();
  };
  area.querySelector(".tidy").onclick = () => {
    uploads.splice(0, uploads.length, ...uploads.filter((upload) => !IDLE.has(upload.state)));
    show();
  };
  area.querySelector(".finish").onclick = () => setTriggerValue("finished", true);
  show();
}

class Upload {
  constructor(file) {
    this.file = file;
    this.response = null;
    this.aborter = new AbortController();
    this.canRetry = false;
    this.draw();
    this.queue();
  }

  queue() {
    this.canRetry = false;
    this.become("waiting", "Waiting");
    const kind = kindOf(this.file);
    if (!kind) this.fail(`${ACCEPTED}; this is ${this.file.type || "of no known type"}.`, false);
    else if (this.file.size === 0) this.fail("This file is empty: it has 0 bytes.", false);
    else this.kind = kind;
  }

  async run() {
    this.aborter = new AbortController();
    const { signal } = this.aborter;
    try {
      this.become("under-way", "Signing …");
      // Uploaded but not saved, at the first try: only saving is left to do.
      this.response ??= await this.send(await askForSignature(this.kind, signal), signal);
      this.become("under-way", "It is in Cloudinary. Saving …");
      await save(this.response);
      this.become("saved", "Saved");
    } catch (error) {
      if (error instanceof Cancelled) this.become("cancelled", error.message);
      else if (error instanceof Refused) this.fail(error.message, error.canRetry);
      else this.fail(`Unexpected: ${error}`, true);
    }
  }

  send({ fields, upload_url }, signal) {
    signal.throwIfAborted();
    const form = new FormData();
    // The file last, so that its parameters are known when it arrives.
    for (const [name, value] of Object.entries(fields)) {
      form.append(name, value);
    }
    form.append("file", this.file, this.file.name);
    const request = new XMLHttpRequest();
    let isSent = false;
    signal.onabort = () => request.abort();
    return new Promise((resolve, reject) => {
      request.open("POST", upload_url.replace(/\/\w+\/upload$/, `/${this.kind}/upload`));
      request.upload.onprogress = ({ loaded, total }) => this.progress(loaded / total);
      request.upload.onload = () => (isSent = true);
      request.onabort = () => reject(isSent ? new Cancelled(KEPT) : signal.reason);
      request.onerror = () =>
        reject(new Refused("The connection to Cloudinary broke off. Check the network and the file."));
      request.onload = () => {
        const answer = parsed(request.responseText);
        if (request.status === 200 && answer.public_id) return resolve(answer);
        const reason = answer.error?.message ?? `it answered ${request.status}`;
        // 400 is about the file itself: sent again, it would be refused again.
        reject(new Refused(`Cloudinary refused it: ${reason}`, request.status !== 400));
      };
      request.send(form);
    });
  }

  progress(part) {
    this.bar.value = part;
    this.say(part < 1 ? `Uploading, ${Math.floor(part * 100)} %` : "Cloudinary is reading it …");
  }

  fail(why, canRetry) {
    this.canRetry = canRetry;
    this.become("failed", why);
  }

  become(state, words) {
    this.state = state;
    this.row.className = `row ${state}`;
    // What is in Cloudinary already can only be saved, or be lost sight of.
    this.cancel.hidden = IDLE.has(state) || this.response !== null;
    this.again.hidden = !this.canRetry && state !== "cancelled";
    if (state === "waiting") this.bar.value = 0;
    this.say(words);
    show();
  }

  say(words) {
    this.word.textContent = words;
  }

  draw() {
    const { name, size } = this.file;
    this.row = element("li", "row");
    this.picture = element("div", "picture", ending(name).slice(0, 5).toUpperCase());
    this.bar = element("progress");
    this.bar.max = 1;
    this.bar.setAttribute("aria-label", `Progress of ${name}`);
    this.word = element("div", "word");
    const label = element("span", "name", name);
    label.title = name;
    label.dir = "auto";
    const title = element("div", "title");
    title.append(label, element("span", "size", fileSize(size)));
    const about = element("div", "about");
    about.append(title, this.bar, this.word);
    this.again = this.button("Try again", () => {
      this.queue();
      work();
    });
    this.cancel = this.button("Cancel", () => {
      if (this.state === "waiting") this.become("cancelled", "Cancelled");
      else this.aborter.abort(new Cancelled("Cancelled"));
    });
    const actions = element("div", "actions");
    actions.append(this.again, this.cancel);
    this.row.append(this.picture, about, actions);
  }

  button(words, act) {
    const made = element("button", "", words);
    made.type = "button";
    made.setAttribute("aria-label", `${words}: ${this.file.name}`);
    made.onclick = act;
    return made;
  }

  async drawThumbnail() {
    if (this.kind !== "image" || this.picture.querySelector("img")) return;
    try {
      // Small at once: fifty pictures of a camera, in full, are gigabytes.
      const bitmap = await createImageBitmap(this.file, { resizeHeight: 96 });
      const canvas = element("canvas");
      [canvas.width, canvas.height] = [bitmap.width, bitmap.height];
      canvas.getContext("2d").drawImage(bitmap, 0, 0);
      bitmap.close();
      const image = element("img");
      image.alt = "";
      image.src = canvas.toDataURL("image/webp", 0.8);
      this.picture.replaceChildren(image);
    } catch {
      // Not every picture that Cloudinary reads is one that the browser reads: its ending stays.
    }
  }
}

class Refused extends Error {
  constructor(message, canRetry = true) {
    super(message);
    this.canRetry = canRetry;
  }
}

class Cancelled extends Error {}

function add(files) {
  uploads.push(...files.map((file) => new Upload(file)));
  show();
  work();
}

function work() {
  const count = (state) => uploads.filter((upload) => upload.state === state).length;
  for (let free = PARALLEL - count("under-way"); free > 0; free--) {
    const next = uploads.find((upload) => upload.state === "waiting");
    if (!next) break;
    next.drawThumbnail();
    next.run().finally(work);
  }
  warnBeforeLeaving();
  show();
}

// Leaving the page within the dashboard loses nothing; closing the tab does.
function warnBeforeLeaving() {
  window.onbeforeunload = uploads.every((upload) => IDLE.has(upload.state))
    ? null
    : (event) => event.preventDefault();
}

function show() {
  if (!mounted) return;
  const find = (selector) => mounted.querySelector(selector);
  const drawn = [...find(".rows").children];
  if (drawn.length !== uploads.length || uploads.some(({ row }, i) => row !== drawn[i])) {
    find(".rows").replaceChildren(...uploads.map((upload) => upload.row));
  }
  const count = (state) => uploads.filter((upload) => upload.state === state).length;
  const [saved, failed, cancelled] = ["saved", "failed", "cancelled"].map(count);
  const isBusy = saved + failed + cancelled < uploads.length;
  const told = [
    `${saved} uploaded`,
    ...(failed ? [`${failed} failed`] : []),
    ...(cancelled ? [`${cancelled} cancelled`] : []),
  ].join(", ");
  const all = uploads.length === 1 ? "1 file" : `${uploads.length} files`;
  find(".status").hidden = uploads.length === 0;
  find(".summary").textContent = isBusy ? `Uploading ${all}: ${told} so far` : told;
  find(".finish").hidden = isBusy || saved === 0;
  find(".retry-all").hidden = isBusy || uploads.filter((upload) => upload.canRetry).length < 2;
  find(".tidy").hidden = isBusy;
}

async function askForSignature(kind, signal) {
  const asked = { resource_type: kind };
  const answer = await post("/generate-signature", asked, "sign this upload", signal);
  if (!answer.success) throw new Refused(`It could not be signed: ${inWords(answer)}`);
  return answer;
}

async function save(response) {
  const answer = await post("/save-metadata", response, "save it");
  if (!answer.success) throw new Refused(`Uploaded, but not saved: ${inWords(answer)}`);
}

async function post(path, body, purpose, signal = undefined) {
  const request = {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify(body),
    signal,
  };
  let answer;
  // Many files at once meet the limit of calls a minute: then they wait their turn.
  for (let tries = 0; tries < 60; tries++) {
    try {
      answer = await fetch(path, request);
    } catch {
      signal?.throwIfAborted();
      throw new Refused(`The dashboard could not be reached to ${purpose}. Is it still running?`);
    }
    if (answer.status !== 429) break;
    const seconds = Number(answer.headers.get("Retry-After")) || 1;
    await pause(seconds, signal);
  }
  if (answer.status === 401) return { error: SIGNED_OUT };
  return { error: `the dashboard answered ${answer.status}`, ...parsed(await answer.text()) };
}

function pause(seconds, signal) {
  return new Promise((resolve, reject) => {
    setTimeout(resolve, seconds * 1000);
    if (signal) signal.onabort = () => reject(signal.reason);
  });
}

function inWords({ error, hint }) {
  return hint ? `${error} (${hint})` : error;
}

function parsed(text) {
  try {
    return JSON.parse(text) ?? {};
  } catch {
    return {};
  }
}

function kindOf({ type, name }) {
  if (type.startsWith("image/")) return "image";
  if (type.startsWith("video/") || type.startsWith("audio/")) return "video";
  if (type) return null;
  return Object.keys(KNOWN_ENDINGS).find((kind) => KNOWN_ENDINGS[kind].includes(ending(name)));
}

async function droppedFiles({ items, files }) {
  const entries = [...items].map((item) => item.webkitGetAsEntry?.()).filter(Boolean);
  if (!entries.some((entry) => entry.isDirectory)) return [...files];
  return (await Promise.all(entries.map(filesBelow))).flat();
}

async function filesBelow(entry) {
  if (entry.isFile) return [await new Promise((resolve, reject) => entry.file(resolve, reject))];
  const reader = entry.createReader();
  const found = [];
  // A reader hands out a hundred entries at a time, and an empty list at the end.
  for (;;) {
    const some = await new Promise((resolve, reject) => reader.readEntries(resolve, reject));
    if (some.length === 0) return (await Promise.all(found.map(filesBelow))).flat();
    found.push(...some);
  }
}

function ending(name) {
  return name.includes(".") ? name.split(".").pop().toLowerCase() : "";
}

function fileSize(bytes) {
  if (bytes < 1000) return bytes === 1 ? "1 byte" : `${bytes} bytes`;
  const power = Math.min(3, Math.floor(Math.log10(bytes) / 3));
  return `${(bytes / 1000 ** power).toFixed(1)} ${["KB", "MB", "GB"][power - 1]}`;
}

function element(tag, className = "", text = "") {
  const made = document.createElement(tag);
  if (className) made.className = className;
  if (text) made.textContent = text;
  return made;
}
