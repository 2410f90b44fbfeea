/** Pins who multiplies: what a test finds must not depend on which library was fastest today. Import it for that. */
import process from "node:process";

process.env.FERROTYPE_TUNE ??= "off";
