import { advance, stride } from "../../lib/film";

/** What moves a clip: `now` counts frames, with fractions while it plays. Make it while a component is set up. */
export class Clock {
  now = $state(0);
  playing = $state(false);
  loop = $state(true);
  speed = $state(1);
  #direction = 1;

  constructor(
    readonly frames: () => number,
    readonly steps: () => number,
    readonly rate: () => number,
  ) {
    $effect(() => {
      if (!this.playing) return;
      let request = requestAnimationFrame(begin);
      let last = 0;
      const clock = this;
      function begin(time: number): void {
        last = time;
        request = requestAnimationFrame(tick);
      }
      function tick(time: number): void {
        // a tab that slept does not jump
        const seconds = Math.min(time - last, 250) / 1000;
        last = time;
        const found = advance(clock.now, seconds, clock.#direction * clock.speed * clock.rate(), clock.frames(), clock.loop);
        clock.now = found.clock;
        if (found.ended) clock.playing = false;
        else request = requestAnimationFrame(tick);
      }
      return () => cancelAnimationFrame(request);
    });
  }

  play(direction = 1): void {
    this.#direction = direction;
    if (!this.loop && direction > 0 && this.now >= this.frames() - 1) this.now = 0;
    this.playing = true;
  }
  pause(): void {
    this.playing = false;
  }
  toggle(): void {
    if (this.playing) this.pause();
    else this.play();
  }
  seek(frame: number): void {
    this.playing = false;
    this.now = Math.min(Math.max(Math.round(frame), 0), this.frames() - 1);
  }
  step(by: number): void {
    this.seek(stride(this.now, by, this.frames(), this.steps()));
  }
}
