import { createReferenceBackend } from "../src/backends/reference/backend.ts";
import { accuracy } from "./backend_accuracy.ts";
import { conformance } from "./backend_conformance.ts";

conformance("reference", createReferenceBackend, { tolerance: 1 });
accuracy("reference", createReferenceBackend);
