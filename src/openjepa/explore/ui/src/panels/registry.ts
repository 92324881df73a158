// The panels there are. A panel is a component without props that reads `app`; it is loaded when it is opened.
import type { Component } from "svelte";
import type { Params } from "../lib/route";
import type { PanelId } from "../lib/types";

export type Panel = {
  id: PanelId;
  title: string;
  /** The statement that the panel lets one test, in a sentence. */
  claim: string;
  /** Links that change the panel's part of the address: "try this". */
  tries: { text: string; params: Params }[];
  load: () => Promise<{ default: Component }>;
};

const ALL: (Omit<Panel, "load"> & { file: string })[] = [
  { id: "run", file: "Run", title: "Training run", claim: "Is it learning, and is it collapsing?", tries: [] },
  {
    id: "mae",
    file: "Mae",
    title: "MAE: rebuild the pixels",
    claim: "With 75 % hidden the picture is still rebuilt, and the error that is left sits in texture. The error map decides.",
    tries: [
      { text: "Hide 90 %: what is guessed now?", params: { ratio: "0.9" } },
      { text: "Hide in blocks instead of at random", params: { sampler: "block", ratio: "0.5" } },
      { text: "Swipe between truth and output", params: { show: "swipe" } },
    ],
  },
  {
    id: "jepa",
    file: "Jepa",
    title: "JEPA: say what belongs in the hole",
    claim: "MAE must paint the hole; JEPA must say what belongs there. Drag it, and watch the scores, not the colours.",
    tries: [
      { text: "Is the true place the lowest valley?", params: { view: "landscape" } },
      { text: "Where is this picture a surprise?", params: { view: "surprise" } },
      { text: "Let it cheat: does the energy fall?", params: { mode: "peek" } },
      { text: "Compare target and guess in colours", params: { view: "colours", mode: "strict" } },
    ],
  },
  { id: "video", file: "Video", title: "Video: what happens behind the tube", claim: "Hide a tube; the model must know what went on inside.", tries: [
    { text: "Hide the future: how far ahead is the guess any good?", params: { hide: "future", view: "skill" } },
    { text: "Let left and right change places: where does the energy rise?", params: { hide: "next", edit: "teleport" } },
    { text: "Turn time around: does it notice?", params: { hide: "next", edit: "reverse" } },
  ] },
  { id: "audio", file: "Audio", title: "Sound: a hole in the spectrogram", claim: "The same hole in a spectrogram; hear what the encoder was given.", tries: [
    { text: "Take out a moment: what is predicted from before and after?", params: { mask: "2,0,2,99", view: "skill" } },
    { text: "Where else would the guess fit?", params: { view: "landscape" } },
  ] },
  { id: "heads", file: "Heads", title: "One encoder, many heads", claim: "Every head reads the same frozen features; nothing below them changes.", tries: [] },
  { id: "masks", file: "Masks", title: "Masks", claim: "What this run hides while it trains, drawn by its own sampler.", tries: [] },
];

const files = import.meta.glob<{ default: Component }>("./*.svelte");

export const panels: Panel[] = ALL.flatMap(({ file, ...panel }) => {
  const path = `./${file}.svelte`;
  return path in files ? [{ ...panel, load: files[path] }] : [];
});
