/**
 * The part of `@huggingface/hub` that is used. In the npm form a bundler for browsers takes `package_browser.js` instead, which
 * holds it: the package itself leads to Node's modules.
 *
 * @module
 */
import { importPackage } from "../core/packages.ts";

/** What the package gives. */
export interface HubPackage {
  /** What is known of a repository. */
  modelInfo(of: {
    name: string;
    revision: string;
    additionalFields: "sha"[];
    hubUrl: string;
    fetch: typeof fetch;
  }): Promise<{ sha?: string }>;
  /** Its files. */
  listFiles(of: {
    repo: { type: "model"; name: string };
    revision: string;
    recursive: boolean;
    hubUrl: string;
    fetch: typeof fetch;
  }): AsyncIterable<{
    type: string;
    path: string;
    size: number;
    oid?: string;
    lfs?: { oid: string; size: number };
  }>;
}

/** The package, or null where it is not installed. */
export async function hubPackage(): Promise<HubPackage | null> {
  try {
    return await importPackage<HubPackage>("@huggingface/hub");
  } catch {
    return null;
  }
}
