/** A program that ends while a worker of the cpu device sleeps; `cpu_engine_test.ts` runs it. */
import { Engine } from "../src/backends/cpu/engine.ts";
import { testPlatform } from "./_cpu_platform.ts";

const engine = new Engine({ platform: testPlatform(), threads: 2 });
console.log(`${await engine.ready()} threads`);
await new Promise((resolve) => setTimeout(resolve, 20));
