import type { ScoreItem } from "../components/ScoreStrip.svelte";
import { chance, number, percent } from "./format";
import type { Score } from "./types";

const tone = (value: number | null): "good" | "bad" | "plain" => (value === null ? "plain" : value > 0.005 ? "good" : value < -0.005 ? "bad" : "plain");

function skill(id: string, label: string, value: number | null, why: string): ScoreItem {
  return { id, label, value: percent(value), exact: value, tone: tone(value), why: `${why} 0 % is no better, below 0 is worse.` };
}

function rank(id: string, label: string, found: [number, number] | null, why: string): ScoreItem {
  if (!found) return { id, label, value: "–", exact: null, why };
  return { id, label, value: `${found[0]} / ${found[1]}`, exact: found[0], note: `chance ${number(chance(found[1]), 4)}`, why };
}

/** The honest strip below every view of a predicted embedding: the training distance, never a cosine, beside what would be easier. */
export function scoreItems(score: Score, distance: string): ScoreItem[] {
  return [
    { id: "energy", label: "Energy", value: number(score.energy), exact: score.energy, note: `${distance.replace("_", " ")}, as in training`, why: "The run's own training distance between predicted and true embedding; lower is better.", lead: true },
    skill("skill-mean", "vs mean", score.mean, "Against always answering the average embedding of this place."),
    skill("skill-gist", "vs gist", score.gist, "Against repeating the average of the visible patches."),
    skill("skill-copy", "vs copy", score.copy, "Against copying the nearest visible patch, the bar worth beating."),
    rank("rank-image", "Rank in image", score.rank_image, "Of the true content among all places of this input; 1 is best."),
    rank("rank-bank", "Rank in bank", score.rank_bank, "Of the true content among the same place of other inputs; 1 is best."),
  ];
}

/** For the live region: what settled, in a sentence. */
export function scoreWords(score: Score): string {
  const [mean, image, bank] = [percent(score.mean), score.rank_image, score.rank_bank];
  return `energy ${number(score.energy)}, ${mean} against the mean${image ? `, rank ${image[0]} of ${image[1]} in the image` : ""}${bank ? `, ${bank[0]} of ${bank[1]} in the bank` : ""}`;
}
