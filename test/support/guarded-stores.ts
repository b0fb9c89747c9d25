import { readFile } from 'node:fs/promises';
import path from 'node:path';
import type { S3Location } from '../../model/pipeline.ts';
import { type PolicyStatement, type S3Gateway, startS3Gateway } from '../../parts/s3.ts';
import { ensureRepository } from '../../repository/repository.ts';
import { S3Store } from '../../repository/s3/store.ts';

const GUIDE = path.resolve(__dirname, '..', '..', 'docs', 'retention.md');
const BUCKET = 'acme-backups';
/** The policies cover only this prefix. */
export const PREFIX = 'yugabyte';

/** Reads a policy from the guide and puts `bucket` in place of the guide's bucket. */
export async function policyOf(
  name: 'backup' | 'prune',
  bucket: string,
): Promise<readonly PolicyStatement[]> {
  const text = await readFile(GUIDE, 'utf8');
  const [, json = ''] = new RegExp(`<!-- policy: ${name} -->\n\`\`\`json\n([^\`]*)\`\`\``).exec(text) ?? [];
  const { Statement } = JSON.parse(json.replaceAll('acme-backups', bucket)) as {
    Statement: readonly PolicyStatement[];
  };
  return Statement;
}

export interface GuardedStores {
  /** This store may not delete. */
  readonly writer: S3Store;
  readonly pruner: S3Store;
  stop(): Promise<void>;
}

export type Account = Pick<S3Gateway, 'accessKeyId' | 'secretAccessKey'>;

/** The store of one account in a bucket, under the prefix that the policies are for. */
export function openGuarded(
  { region, endpoint }: S3Gateway,
  bucket: string,
  { accessKeyId, secretAccessKey }: Account,
  settings: Pick<S3Location, 'objectLock'> = {},
): Promise<S3Store> {
  const secrets: Readonly<Record<string, string>> = { KEY: accessKeyId, SECRET: secretAccessKey };
  return S3Store.open(
    {
      ...{ kind: 's3', bucket, prefix: PREFIX, region, endpoint, forcePathStyle: true },
      credentials: { accessKeyId: { env: 'KEY' }, secretAccessKey: { env: 'SECRET' } },
      ...settings,
    },
    async (reference) => ('env' in reference ? secrets[reference.env] : undefined) ?? '',
  );
}

/** Starts a repository on a real gateway with the two policies of docs/retention.md. */
export async function startGuardedStores(): Promise<GuardedStores> {
  const gateway = await startS3Gateway({ versioning: true, users: true });
  await gateway.createBucket(BUCKET);
  const [writer, pruner] = [await gateway.createUser(), await gateway.createUser()];
  await gateway.setPolicy(BUCKET, [
    { user: writer, statements: await policyOf('backup', BUCKET) },
    { user: pruner, statements: await policyOf('prune', BUCKET) },
  ]);
  const storeOf = (user: Account) => openGuarded(gateway, BUCKET, user);
  const stores = { writer: await storeOf(writer), pruner: await storeOf(pruner) };
  await ensureRepository(stores.writer);
  return {
    ...stores,
    stop: async () => {
      await Promise.all([stores.writer.close(), stores.pruner.close()]);
      await gateway.stop();
    },
  };
}
