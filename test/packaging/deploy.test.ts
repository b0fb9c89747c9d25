import { execFile, spawnSync } from 'node:child_process';
import { copyFile, readdir, readFile } from 'node:fs/promises';
import path from 'node:path';
import { promisify } from 'node:util';
import { parseAllDocuments } from 'yaml';
import { z } from 'zod';
import { createScratchFolder } from '../../parts/scratch.ts';

const DEPLOY = path.join(__dirname, '../../deploy');

/** What every container must keep to, whoever runs it. */
const confined = z.object({
  allowPrivilegeEscalation: z.literal(false),
  readOnlyRootFilesystem: z.literal(true),
  capabilities: z.object({ drop: z.tuple([z.literal('ALL')]) }),
});
const unprivileged = z.object({ runAsNonRoot: z.literal(true), runAsUser: z.int().positive() });
const name = z.string().regex(/^[a-z0-9](?:[a-z0-9-]*[a-z0-9])?$/);
const quantity = z.string().regex(/^\d+(?:m|Mi|Gi)?$/);
const resources = z.strictObject({
  requests: z.strictObject({ cpu: quantity, memory: quantity }),
  limits: z.strictObject({ memory: quantity }),
});
const variable = z.union([
  z.strictObject({ name: z.string(), value: z.string() }),
  z.strictObject({
    name: z.string(),
    valueFrom: z.strictObject({ fieldRef: z.strictObject({ fieldPath: z.string() }) }),
  }),
]);
/** What of Kubernetes' API the manifests use, strictly: a key that is not here is a mistake, or is to be looked up and added. */
const probe = z.strictObject({
  exec: z.strictObject({ command: z.array(z.string()) }),
  periodSeconds: z.int(),
  timeoutSeconds: z.int(),
  failureThreshold: z.int(),
});
const container = z.strictObject({
  name,
  image: z.string(),
  args: z.array(z.string()),
  env: z.array(variable),
  envFrom: z.array(
    z.union([
      z.strictObject({ configMapRef: z.strictObject({ name }) }),
      z.strictObject({ secretRef: z.strictObject({ name }) }),
    ]),
  ),
  ports: z.array(z.strictObject({ name, containerPort: z.int().max(65_535) })).optional(),
  livenessProbe: probe.optional(),
  readinessProbe: probe.optional(),
  resources,
  securityContext: confined.loose(),
  volumeMounts: z.array(z.strictObject({ name, mountPath: z.string().startsWith('/') })),
});
const podSpec = z.strictObject({
  serviceAccountName: name.optional(),
  automountServiceAccountToken: z.literal(false).optional(),
  nodeSelector: z.record(z.string(), z.string()).optional(),
  hostNetwork: z.boolean().optional(),
  dnsPolicy: z.literal('ClusterFirstWithHostNet').optional(),
  terminationGracePeriodSeconds: z.int().optional(),
  securityContext: unprivileged.loose().optional(),
  containers: z.array(container).min(1),
  volumes: z.array(
    z.union([
      z.strictObject({ name, emptyDir: z.strictObject({}) }),
      z.strictObject({
        name,
        hostPath: z.strictObject({
          path: z.string().startsWith('/'),
          type: z.enum(['Directory', 'DirectoryOrCreate']),
        }),
      }),
    ]),
  ),
});

async function manifests(): Promise<readonly (readonly [string, Record<string, unknown>])[]> {
  const folder = path.join(DEPLOY, 'kubernetes');
  const found: [string, Record<string, unknown>][] = [];
  for (const file of (await readdir(folder)).sort()) {
    for (const document of parseAllDocuments(await readFile(path.join(folder, file), 'utf8'))) {
      expect(document.errors).toEqual([]);
      found.push([file, document.toJS() as Record<string, unknown>]);
    }
  }
  return found;
}

test('every Kubernetes manifest is one object with a kind and a name, and every pod runs with the least privilege', async () => {
  let pods = 0;
  for (const [file, manifest] of await manifests()) {
    expect({ file, apiVersion: manifest.apiVersion, kind: manifest.kind }).toEqual({
      file,
      apiVersion: expect.any(String),
      kind: expect.any(String),
    });
    const template = z
      .looseObject({ spec: z.looseObject({ template: z.looseObject({ spec: podSpec }) }) })
      .safeParse(manifest);
    if (!['Deployment', 'DaemonSet', 'StatefulSet'].includes(String(manifest.kind))) continue;
    expect({ file, problems: template.error?.issues ?? [] }).toEqual({ file, problems: [] });
    pods++;
    for (const each of template.data?.spec.template.spec.containers ?? []) {
      const pod = template.data?.spec.template.spec;
      // Of the pod or of the container: never root.
      expect(unprivileged.loose().safeParse(pod?.securityContext ?? each.securityContext).success).toBe(true);
      expect(each.args[0]).toBe('worker');
    }
  }
  expect(pods).toBe(3);
});

test('what the manifests name is there: volumes, variables, labels, the account', async () => {
  const all = await manifests();
  const accounts = all
    .filter(([, { kind }]) => kind === 'ServiceAccount')
    .map(([, { metadata }]) => z.object({ name }).parse(metadata).name);
  for (const [file, manifest] of all) {
    if (!['Deployment', 'DaemonSet', 'StatefulSet'].includes(String(manifest.kind))) continue;
    const { selector, template } = z
      .looseObject({
        selector: z.strictObject({ matchLabels: z.record(z.string(), z.string()) }).optional(),
        template: z.looseObject({
          metadata: z.looseObject({ labels: z.record(z.string(), z.string()) }).optional(),
          spec: podSpec,
        }),
      })
      .parse(manifest.spec);
    expect(template.metadata?.labels ?? {}).toMatchObject(selector?.matchLabels ?? {});
    const { serviceAccountName, containers, volumes } = template.spec;
    if (serviceAccountName !== undefined) expect(accounts).toContain(serviceAccountName);
    // The patch of YugabyteDB's own StatefulSet mounts that one's volumes.
    const given = manifest.kind === 'StatefulSet' ? ['datadir0', 'datadir1'] : [];
    const mountable = [...volumes.map((volume) => volume.name), ...given];
    for (const { volumeMounts, args, env } of containers) {
      for (const mount of volumeMounts)
        expect({ file, mountable }).toMatchObject({ mountable: expect.arrayContaining([mount.name]) });
      const variables = env.map((each) => each.name);
      for (const [, used = ''] of args.join(' ').matchAll(/\$\((\w+)\)/g)) expect(variables).toContain(used);
    }
  }
});

test('workers are rolled out, drained and reached as a service is: readiness, one at a time, metrics alone', async () => {
  const all = await manifests();
  const labelled = z.looseObject({
    template: z.looseObject({
      metadata: z.looseObject({ labels: z.record(z.string(), z.string()) }),
      spec: podSpec,
    }),
  });
  const [, worker] = all.find(([file, { kind }]) => file === 'worker.yaml' && kind === 'Deployment') ?? [];
  const { template } = labelled.parse(worker?.spec);
  expect(template.spec.containers[0]?.readinessProbe).toBeDefined();

  const selecting = z.object({ matchLabels: z.record(z.string(), z.string()) });
  const [, budget] = all.find(([, { kind }]) => kind === 'PodDisruptionBudget') ?? [];
  const { selector, maxUnavailable } = z
    .strictObject({ selector: selecting, maxUnavailable: z.int() })
    .parse(budget?.spec);
  expect(maxUnavailable).toBe(1);
  const [, policy] = all.find(([, { kind }]) => kind === 'NetworkPolicy') ?? [];
  const { podSelector, ingress } = z
    .looseObject({
      podSelector: selecting,
      policyTypes: z.tuple([z.literal('Ingress')]),
      ingress: z.array(z.looseObject({ ports: z.array(z.looseObject({ port: z.int() })) })),
    })
    .parse(policy?.spec);
  const metrics = template.spec.containers[0]?.ports?.map(({ containerPort }) => containerPort);
  expect(ingress.flatMap(({ ports }) => ports.map(({ port }) => port))).toEqual(metrics);
  // Both mean the worker's pods.
  for (const { matchLabels } of [selector, podSelector])
    expect(template.metadata.labels).toMatchObject(matchLabels);
  const listed = await readFile(path.join(DEPLOY, 'kubernetes/kustomization.yaml'), 'utf8');
  expect(listed).toContain('- availability.yaml');
});

testWith('kubectl')('kustomize puts the manifests together', async () => {
  const said = await run('kubectl', ['kustomize', path.join(DEPLOY, 'kubernetes')]);
  expect(said).toContain('kind: Deployment');
});

testWith('systemd-analyze')('systemd finds nothing wrong with the units', async () => {
  const scratch = await createScratchFolder('units');
  try {
    const units = ['holdfast-worker.service', 'holdfast-agent@10.0.0.1:9100.service'];
    for (const unit of units) {
      const source = unit.replace(/@.*\.service$/, '@.service');
      await copyFile(path.join(DEPLOY, 'systemd', source), path.join(scratch.path, unit));
      const said = await run('systemd-analyze', ['verify', path.join(scratch.path, unit)]);
      expect(said.split('\n').filter((line) => line.includes('.service:'))).toEqual([]);
    }
  } finally {
    await scratch.remove();
  }
});

/** A test that is reported as skipped where the program that it asks is not installed. */
function testWith(program: string): jest.It {
  return spawnSync(program, ['--version']).error === undefined ? test : test.skip;
}

/** What the program said, whether or not it was content. */
async function run(program: string, args: readonly string[]): Promise<string> {
  try {
    const { stdout, stderr } = await promisify(execFile)(program, args);
    return stdout + stderr;
  } catch (error) {
    if (error instanceof Error && 'stderr' in error && !('syscall' in error)) return String(error.stderr);
    throw error;
  }
}
