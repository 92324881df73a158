// What is drawn of a run: charts by the question that they answer.

export type Curve = {
  key: string;
  name: string;
  /** Logged now and then: the line goes on between. */
  sparse?: boolean;
  /** Line 0 of the metrics is the untrained encoder, drawn as a dotted line. */
  floor?: boolean;
  /** Significant digits, where three say nothing. */
  digits?: number;
};
export type ChartSpec = { id: string; title: string; note?: string; zero?: boolean; curves: Curve[]; /** Of this number the rule is told below. */ rules?: string[] };
export type Group = { title: string; note: string; charts: ChartSpec[] };

export const GROUPS: Group[] = [
  {
    title: "Is it learning?",
    note: "The loss alone proves nothing: it also falls when targets collapse.",
    charts: [
      { id: "loss", title: "Loss", curves: [{ key: "loss", name: "loss" }] },
      {
        id: "miss",
        title: "Error against simple answers",
        note: "1 − R²: 1 is no better than the mean target, the mean of that place, a copy of the nearest visible one.",
        zero: true,
        curves: [
          { key: "health/miss_vs_mean", name: "mean" },
          { key: "health/miss_vs_place", name: "place" },
          { key: "health/miss_vs_copy", name: "copy" },
        ],
      },
      { id: "probe", title: "kNN and probes", note: "Accuracy of the frozen encoder, on labels that the loss never sees.", zero: true, curves: [{ key: "knn", name: "online kNN", sparse: true }] },
    ],
  },
  {
    title: "Is it collapsing?",
    note: "What the targets still tell apart. Dotted: the untrained encoder.",
    charts: [
      { id: "spread", title: "Spread of the features", zero: true, rules: ["health/spread"], curves: [{ key: "health/spread", name: "features", floor: true }, { key: "health/guess_spread", name: "guesses" }] },
      {
        id: "rank",
        title: "Dimensions in use",
        zero: true,
        rules: ["health/participation"],
        curves: [{ key: "health/effective_rank", name: "effective rank", floor: true }, { key: "health/participation", name: "participation", floor: true }],
      },
      { id: "position", title: "Variance that is only position", zero: true, rules: ["health/position_share"], curves: [{ key: "health/position_share", name: "features", floor: true }, { key: "health/guess_position_share", name: "guesses" }] },
      { id: "cosine", title: "Mean cosine of two tokens", zero: true, rules: ["health/cosine_centred"], curves: [{ key: "health/cosine", name: "raw", floor: true }, { key: "health/cosine_centred", name: "centred, absolute", floor: true }] },
    ],
  },
  {
    title: "What was set",
    note: "",
    charts: [
      { id: "momentum", title: "Momentum of the target encoder", note: "Its share that stays in a step.", curves: [{ key: "momentum", name: "momentum", digits: 6 }] },
      { id: "lr", title: "Learning rate", zero: true, curves: [{ key: "lr", name: "learning rate" }] },
      { id: "decay", title: "Weight decay", zero: true, curves: [{ key: "weight_decay", name: "weight decay" }] },
      { id: "norm", title: "Gradient norm", note: "Before clipping.", zero: true, curves: [{ key: "grad_norm", name: "gradient norm" }] },
    ],
  },
  {
    title: "How fast",
    note: "",
    charts: [
      { id: "speed", title: "Samples a second", zero: true, curves: [{ key: "images_per_s", name: "samples/s" }] },
      { id: "data", title: "Waiting for data", note: "Share of the time; under 0.05 the loader keeps up.", zero: true, curves: [{ key: "data_wait", name: "share" }] },
      { id: "memory", title: "Memory", note: "MB, the most there was.", zero: true, curves: [{ key: "memory_mb", name: "MB" }] },
    ],
  },
];

export const KEYS = [...new Set(GROUPS.flatMap((group) => group.charts.flatMap((chart) => chart.curves.map((curve) => curve.key)))), "verdict"];

/** Colour and dash together tell eight curves apart, also without colour. */
export const DASHES: number[][] = [[], [7, 3], [2, 3], [10, 3, 2, 3], [4, 2], [14, 4], [1, 2], [6, 2, 1, 2, 1, 2]];
export const MOST_RUNS = 8;
