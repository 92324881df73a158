// The server's types (made from its dataclasses) and the few that are the page's own.
export type { Box, Capability, InputInfo, Meta, Predicted, RunInfo, Score, Screen, ViewMeta } from "./api.gen";

export type PanelId = "run" | "mae" | "jepa" | "video" | "audio" | "heads" | "masks";
