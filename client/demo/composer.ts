// The box that sends: whom to, text, a file (chosen or dropped).

import { byId } from "./dom.js";
import { FILE_LIMIT } from "./frames.js";
import { bytes, short } from "./words.js";

/** `undefined` for everyone that is linked. */
export type Recipient = string | undefined;

export interface Sending {
  text(to: Recipient, text: string): void;
  file(to: Recipient, file: File): void;
  /** The choice of recipient has changed here. */
  choose(to: Recipient): void;
}

export class Composer {
  readonly #sending: Sending;
  readonly #form = byId("composer", HTMLFormElement);
  readonly #to = byId("to", HTMLSelectElement);
  readonly #text = byId("text", HTMLInputElement);
  readonly #file = byId("file", HTMLInputElement);
  readonly #fields = byId("composer-fields", HTMLFieldSetElement);
  readonly #hint = byId("composer-hint", HTMLParagraphElement);
  #shown = "";

  constructor(sending: Sending) {
    this.#sending = sending;
    this.#form.addEventListener("submit", (event) => {
      event.preventDefault();
      const text = this.#text.value.trim();
      if (text === "") return;
      sending.text(this.#recipient(), text);
      this.#text.value = "";
    });
    this.#to.addEventListener("change", () => sending.choose(this.#recipient()));
    byId("pick", HTMLButtonElement).addEventListener("click", () => this.#file.click());
    this.#file.addEventListener("change", () => {
      this.#sendFiles(this.#file.files);
      this.#file.value = "";
    });
    this.#acceptDrops();
  }

  /** Offers these peers to send to; a selected peer that is not among them means everyone. */
  render(linked: readonly string[], selected: Recipient): void {
    const shown = `${linked.join(" ")} to ${selected}`;
    if (shown === this.#shown) return; // an open menu would close
    this.#shown = shown;
    const everyone = new Option(linked.length > 1 ? `everyone linked (${linked.length})` : "everyone linked", "");
    this.#to.replaceChildren(everyone, ...linked.map((peer) => new Option(short(peer), peer)));
    this.#to.value = selected !== undefined && linked.includes(selected) ? selected : "";
    this.#fields.disabled = linked.length === 0;
    this.#hint.textContent =
      linked.length === 0
        ? "As soon as somebody is linked you can send text and files."
        : `Drop a file here, or choose one. Up to ${bytes(FILE_LIMIT)}, straight from browser to browser.`;
  }

  #recipient(): Recipient {
    return this.#to.value === "" ? undefined : this.#to.value;
  }

  #sendFiles(files: FileList | null | undefined): void {
    for (const file of files ?? []) this.#sending.file(this.#recipient(), file);
  }

  #acceptDrops(): void {
    const over = (on: boolean) => (event: DragEvent) => {
      event.preventDefault();
      this.#form.classList.toggle("dropping", on && !this.#fields.disabled);
    };
    this.#form.addEventListener("dragover", over(true));
    this.#form.addEventListener("dragleave", over(false));
    this.#form.addEventListener("drop", (event) => {
      over(false)(event);
      if (!this.#fields.disabled) this.#sendFiles(event.dataTransfer?.files);
    });
    // A file that misses the box would replace the page.
    for (const name of ["dragover", "drop"]) addEventListener(name, (event) => event.preventDefault());
  }
}
