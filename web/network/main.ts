/** A network you can see. @module */
import { startPage } from "../shared/page.ts";

startPage();
