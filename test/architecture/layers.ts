/**
 * The layers of Holdfast and what each may import: the one list that the table in ARCHITECTURE.md shows and that layers.test.ts holds
 * the code to. What is not listed is forbidden. `test/` and `bench/` may import everything, and nothing imports them.
 */
export interface Layer {
  /** Folders, or single files, that the layer may import beside its own. */
  readonly imports: readonly string[];
  /** Packages that it may import; `node:*` stands for all of Node's own modules. A layer without them is pure. */
  readonly packages: readonly string[];
}

export const LAYERS: Readonly<Record<string, Layer>> = {
  cli: {
    imports: [
      'library',
      'model',
      'compiler',
      'planning',
      'repository',
      'engines',
      'activities',
      'receivers',
      'workflows',
      'worker',
      'parts',
      'bootstrap/lock.mjs',
      'package.json',
    ],
    packages: [
      'node:*',
      '@modelcontextprotocol/sdk',
      '@temporalio/client',
      '@temporalio/common',
      'commander',
      'log-update',
      'pg',
      'zod',
    ],
  },
  library: {
    imports: ['model', 'compiler', 'planning', 'repository', 'engines', 'activities', 'workflows', 'worker'],
    packages: ['node:*', '@temporalio/client', '@temporalio/common'],
  },
  worker: {
    imports: ['model', 'planning', 'engines', 'activities', 'workflows'],
    packages: [
      'node:*',
      '@grpc/grpc-js',
      '@opentelemetry/api',
      '@opentelemetry/exporter-trace-otlp-proto',
      '@opentelemetry/resources',
      '@opentelemetry/sdk-trace',
      '@temporalio/client',
      '@temporalio/common',
      '@temporalio/envconfig',
      '@temporalio/worker',
    ],
  },
  workflows: {
    imports: ['model', 'planning', 'activities/contract.ts'],
    packages: ['@temporalio/common', '@temporalio/workflow'],
  },
  activities: {
    imports: ['model', 'planning', 'repository', 'engines', 'receivers', 'package.json'],
    packages: ['node:*', '@temporalio/activity', '@temporalio/client', '@temporalio/common'],
  },
  receivers: { imports: ['model', 'engines'], packages: ['node:*', 'nodemailer'] },
  engines: {
    imports: ['model', 'planning', 'repository', 'package.json'],
    packages: ['node:*', 'cassandra-driver', 'pg', 'zod'],
  },
  repository: {
    imports: ['model'],
    packages: [
      'node:*',
      '@aws-sdk/client-s3',
      '@azure/identity',
      'age-encryption',
      'google-auth-library',
      'zod',
    ],
  },
  planning: { imports: ['model'], packages: [] },
  compiler: { imports: ['model'], packages: ['@noble/hashes', '@scure/base', 'yaml', 'zod'] },
  model: { imports: [], packages: ['@noble/hashes'] },
  parts: {
    imports: ['model', 'bootstrap/lock.mjs'],
    packages: ['node:*', '@aws-sdk/client-s3', '@temporalio/client', 'pg'],
  },
  bootstrap: { imports: [], packages: ['node:*', 'wabt', 'webpack'] },
};
