import { postBlob, Problem } from "../../lib/api";
import { app } from "../../lib/app.svelte";
import { readWav, type Sound } from "../../lib/hearing";

const KEPT = 40; // sounds

/** Plays one sound at a time, through one gain; nothing sounds before `play` was called by a press. Make it while a component is set up. */
export class Listener {
  /** What plays now: the name that `play` was given. */
  playing = $state<string | null>(null);
  loading = $state<string | null>(null);
  /** Seconds since its beginning. */
  at = $state(0);
  /** The library call behind what was heard last. */
  python = $state("");
  #gain = $state(0.5);
  #context: AudioContext | null = null;
  #volume: GainNode | null = null;
  #source: AudioBufferSourceNode | null = null;
  #kept = new Map<string, Sound>();
  #asked = 0;
  #request = 0;

  constructor() {
    $effect(() => () => {
      this.stop();
      void this.#context?.close();
      this.#context = null;
    });
  }

  get gain(): number {
    return this.#gain;
  }
  set gain(value: number) {
    this.#gain = value;
    if (this.#volume && this.#context) this.#volume.gain.setTargetAtTime(value, this.#context.currentTime, 0.01);
  }

  /** Plays what audio/render answers to `body`; a second press stops it. */
  async play(name: string, body: unknown): Promise<void> {
    const again = this.playing === name;
    this.stop();
    if (again) return;
    const number = ++this.#asked;
    // made by a press, or browsers keep it silent
    this.#context ??= new AudioContext();
    void this.#context.resume();
    this.loading = name;
    try {
      const sound = await this.#fetch(body);
      if (number === this.#asked) this.#begin(name, sound);
    } catch (error) {
      if (number === this.#asked) app.say(error instanceof Problem ? [error.detail || error.title, error.hint].filter(Boolean).join(". ") : `The sound could not be played: ${String(error)}`);
    } finally {
      if (number === this.#asked) this.loading = null;
    }
  }

  stop(): void {
    this.#asked++;
    cancelAnimationFrame(this.#request);
    if (this.#source) {
      this.#source.onended = null;
      this.#source.stop();
    }
    this.#source = null;
    this.playing = this.loading = null;
  }

  async #fetch(body: unknown): Promise<Sound> {
    const key = `${app.at} ${JSON.stringify(body)}`;
    const known = this.#kept.get(key);
    if (known) return known;
    const sound = readWav(await (await postBlob("audio/render", body)).arrayBuffer());
    this.#kept.set(key, sound);
    if (this.#kept.size > KEPT) this.#kept.delete(this.#kept.keys().next().value as string);
    return sound;
  }

  #begin(name: string, sound: Sound): void {
    const context = this.#context;
    if (!context) return;
    this.#volume ??= context.createGain();
    this.#volume.gain.value = this.#gain;
    this.#volume.connect(context.destination);
    const buffer = context.createBuffer(1, sound.samples.length, sound.rate);
    buffer.copyToChannel(sound.samples, 0);
    const source = (this.#source = context.createBufferSource());
    source.buffer = buffer;
    source.connect(this.#volume);
    source.onended = () => this.stop();
    const began = context.currentTime;
    source.start();
    this.python = sound.comment;
    this.playing = name;
    this.at = 0;
    const follow = (): void => {
      this.at = Math.min(context.currentTime - began, buffer.duration);
      this.#request = requestAnimationFrame(follow);
    };
    follow();
  }
}
