/** The landing page. @module */
import { startPage } from "./shared/page.ts";

startPage();
