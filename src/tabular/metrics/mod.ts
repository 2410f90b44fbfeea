/**
 * Metrics of held-out rows, and their intervals.
 *
 * @module
 */
export { auc, rankAuc } from "./auc.ts";
export { type BootstrapInterval, bootstrapInterval, type BootstrapOptions } from "./bootstrap.ts";
export { expectedCalibrationError, reliability, type ReliabilityBin } from "./calibration.ts";
export {
  accuracy,
  brier,
  type ClassReport,
  classReport,
  confusionMatrix,
  logLoss,
  macroF1,
} from "./classification.ts";
export { mae, r2, rmse } from "./regression.ts";
export { type ClassScores, takeClassRows, takeValueRows, type ValueScores } from "./scores.ts";
