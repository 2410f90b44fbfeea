/**
 * The recipes of `docs/deploy`: Kubernetes' own schemas take the manifest, and the command takes what image and manifest start it with.
 */
import { assert, assertEquals, assertStrictEquals, assertThrows } from "@std/assert";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { parse } from "../../cli/command.ts";
import { commands } from "../../cli/commands/mod.ts";
import { repository } from "../_data.ts";
import { describe, it } from "../_suite.ts";
import { skip as noTools, tools } from "./_consumer.ts";

interface Resource {
  readonly apiVersion: string;
  readonly kind: string;
  readonly spec: {
    replicas?: unknown;
    completions?: number;
    template?: { spec: { containers: Container[]; volumes?: unknown } };
    ports?: { targetPort: number }[];
  };
}
interface Container {
  args?: string[];
  ports?: { containerPort: number }[];
  env?: { name: string; value?: string }[];
  readinessProbe?: { httpGet: { path: string; port: number } };
  livenessProbe?: { httpGet: { path: string; port: number } };
}
type Models = Record<string, new (resource: unknown) => { validate(): void }>;

const skip = noTools ||
  (["kubernetes-models", "yaml"].every((name) => existsSync(join(tools, name)))
    ? false
    : "kubernetes-models and yaml are not installed (npm ci in tests/packages)");
const deploy = (name: string): string => readFileSync(join(repository, "docs/deploy", name), "utf8");
const load = async <T>(path: string): Promise<T> => await import(pathToFileURL(join(tools, path)).href) as T;

describe("docs/deploy", { skip }, () => {
  const resources = async (): Promise<Resource[]> => {
    const yaml = await load<{ parseAllDocuments(text: string): { errors: unknown[]; toJS(): Resource }[] }>(
      "yaml/dist/index.js",
    );
    return yaml.parseAllDocuments(deploy("kubernetes.yaml")).map((one) => {
      assertEquals(one.errors, []);
      return one.toJS();
    });
  };
  const check = async (resource: Resource): Promise<void> => {
    const models = await load<Models>(`kubernetes-models/${resource.apiVersion}/index.js`);
    new models[resource.kind](resource).validate();
  };

  it("has a manifest that Kubernetes' schemas take, which refuse a wrong one", async () => {
    const all = await resources();
    assertEquals(all.map(({ kind }) => kind), ["Service", "Deployment", "Job"]);
    for (const resource of all) await check(resource);
    for (const spoil of [{ replicas: "two" }, { selector: 3 }, { template: undefined }]) {
      const models = await load<Models>("kubernetes-models/apps/v1/index.js");
      const { [1]: deployment } = all;
      const wrong = { ...deployment, spec: { ...deployment.spec, ...spoil } };
      assertThrows(() => new models.Deployment(wrong).validate(), Error, Object.keys(spoil)[0]);
    }
  });

  it("starts the command with options that it has, on the ports that are asked", async () => {
    const [service, deployment, job] = await resources(), text = deploy("Dockerfile");
    const words = (name: string): string[] =>
      JSON.parse(new RegExp(`^${name} (\\[.*\\])$`, "m").exec(text)![1]);
    const entry = words("ENTRYPOINT"), start = words("CMD");
    assert(existsSync(join(repository, entry.at(-1)!)));
    const read = ([name, ...words]: string[]) => parse(commands.find((one) => one.name === name)!, words);
    const { values } = read(start);
    const [container] = deployment.spec.template!.spec.containers, port = values.number("port")!;
    assertStrictEquals(container.ports![0].containerPort, port);
    assertStrictEquals(service.spec.ports![0].targetPort, port);
    const probes = [container.readinessProbe!, container.livenessProbe!].map(({ httpGet }) => httpGet);
    assertEquals(probes, [{ path: "/ready", port }, { path: "/health", port }]);
    assertEquals(/^EXPOSE (\d+)$/m.exec(text)![1], String(port));
    const [worker] = job.spec.template!.spec.containers;
    assertEquals(read(worker.args!).positionals, ["/data/requests.jsonl"]);
    assertEquals(worker.env, [{ name: "JOB_COMPLETIONS", value: String(job.spec.completions) }]);
  });
});
