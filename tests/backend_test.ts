import { createReferenceBackend } from "../src/backends/reference/backend.ts";
import { conformance } from "./backend_conformance.ts";

conformance("reference", createReferenceBackend, { tolerance: 1 });
