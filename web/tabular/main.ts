/** Tables. @module */
import { startPage } from "../shared/page.ts";

startPage();
