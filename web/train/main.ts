/** Train in the tab. @module */
import { startPage } from "../shared/page.ts";

startPage();
