import { zstdCompressSync, zstdDecompressSync } from 'node:zlib';
import fc from 'fast-check';
import { z } from 'zod';
import {
  type BackupId,
  backupFolder,
  manifestKey,
  registerKey,
  signatureKey,
} from '../../../repository/layout.ts';
import { sealJson, sealSignedJson, signedTextOf } from '../../../repository/sealed-json.ts';
import { sha256Hex } from '../../../repository/sha256.ts';
import { namespaceOf } from '../../../repository/signing/signing.ts';
import { readSigningKey } from '../../../repository/signing/ssh-key.ts';
import { parsePublicKey, signMessage } from '../../../repository/signing/ssh-signature.ts';
import type { Store } from '../../../repository/store.ts';
import type { Signer } from './signers.ts';

/*
 * Somebody who can write everything in a repository, knows its format, computes every hash and seal anew, and lacks one thing: a key that the plan trusts.
 */

/** What makes a forged manifest look signed. */
const DRESSES = ['stripped', 'old signature', 'own key', 'own key beside', 'garbage'] as const;
type Dress = (typeof DRESSES)[number];

/** What is forged. */
const TARGETS = [
  'field of the manifest',
  'statement in the manifest',
  'schema script',
  'roles',
  'list of data',
  'data, through list and manifest',
  'data alone',
  'list alone',
  'another backup’s manifest',
  'new backup',
  'repository.json',
  'register',
  'tombstone',
] as const;

export interface Forgery {
  readonly target: (typeof TARGETS)[number];
  readonly dress: Dress;
  /** Which of several things of the kind; taken modulo their count. */
  readonly pick: number;
  /** Goes into what is forged, so that no two forgeries are alike. */
  readonly salt: number;
}

export const forgeries: fc.Arbitrary<Forgery> = fc.record({
  target: fc.constantFrom(...TARGETS),
  dress: fc.constantFrom(...DRESSES),
  pick: fc.nat(1_000),
  salt: fc.nat(1_000_000),
});

const manifestShape = z.looseObject({
  plan: z.string(),
  backup: z.string(),
  readPoint: z.looseObject({ takenAt: z.string() }),
  databases: z.array(
    z.looseObject({
      name: z.string(),
      schemaObjects: z.array(z.looseObject({ key: z.string() })),
      tables: z.array(z.looseObject({ table: z.string(), rows: z.number() })),
    }),
  ),
  commonObjects: z.array(z.looseObject({ key: z.string() })),
  data: z.looseObject({ lists: z.array(z.looseObject({ key: z.string() })) }),
});
const listShape = z.array(z.looseObject({ key: z.string(), columns: z.array(z.string()) }));
type Loose = z.infer<typeof manifestShape>;
type Entry = Loose['commonObjects'][number];

/** Does what the forgery says to a backup. @param store opened as by somebody whose plan knows of no signatures */
export async function forge(
  store: Store,
  ref: BackupId,
  other: BackupId,
  forger: Signer,
  trusted: Signer,
  forgery: Forgery,
): Promise<void> {
  const { target, pick, salt } = forgery;
  const folder = backupFolder(ref);
  const evil = `DROP OWNED BY CURRENT_USER; -- ${salt}\n`;
  const original = await store.get(manifestKey(ref));
  const manifest = manifestShape.parse(JSON.parse(Buffer.from(original).toString()));
  const overwrite = async (key: string, body: Uint8Array) => {
    await store.put(key, body, { sha256: sha256Hex(body), ifAbsent: false });
  };
  /** Writes an object under a name that holds its hash, and has an entry name it. */
  const replace = async (entry: Entry, body: Uint8Array) => {
    const sha256 = sha256Hex(body);
    const key = `${entry.key.slice(0, -16)}${sha256.slice(0, 16)}`;
    await overwrite(folder + key, body);
    Object.assign(entry, { key, sha256, sizeBytes: body.length });
  };
  const at = <T>(items: readonly T[]): T => {
    const item = items[pick % items.length];
    if (item === undefined) throw new Error(`there is nothing to forge for ${target}`);
    return item;
  };
  const put = (forged: Loose, to: BackupId = ref) =>
    dress(store, manifestKey(to), forged, original, forger, trusted, forgery.dress);
  const database = at(manifest.databases);
  const list = at(manifest.data.lists);
  const readList = async () =>
    listShape.parse(JSON.parse(zstdDecompressSync(await store.get(folder + list.key)).toString()));
  /** Lists have their hash before their extension. */
  const replaceList = async (objects: z.infer<typeof listShape>) => {
    const body = zstdCompressSync(JSON.stringify(objects));
    const sha256 = sha256Hex(body);
    const key = list.key.replace(/[0-9a-f]{16}(?=\.json)/, sha256.slice(0, 16));
    await overwrite(folder + key, body);
    Object.assign(list, { key, sha256, sizeBytes: body.length });
  };

  switch (target) {
    case 'field of the manifest':
      database.name = `${database.name}${salt}`;
      return put(manifest);
    case 'statement in the manifest':
      at(database.tables).table = `orders"; ${evil}`;
      return put(manifest);
    case 'schema script':
      await replace(at(database.schemaObjects), Buffer.from(evil));
      return put(manifest);
    case 'roles':
      await replace(at(manifest.commonObjects), Buffer.from(evil));
      return put(manifest);
    case 'list of data': {
      const objects = await readList();
      at(objects).columns = [`"id") FROM PROGRAM 'id' -- ${salt}`];
      await replaceList(objects);
      return put(manifest);
    }
    case 'data, through list and manifest': {
      const objects = await readList();
      await replace(at(objects), zstdCompressSync(`${salt}\tforged\n`));
      await replaceList(objects);
      return put(manifest);
    }
    case 'data alone':
      return overwrite(folder + at(await readList()).key, zstdCompressSync(`${salt}\tforged\n`));
    case 'list alone':
      return overwrite(folder + list.key, zstdCompressSync('[]'));
    case 'another backup’s manifest': {
      const theirs = await store.get(manifestKey(other));
      const parsed = manifestShape.parse(JSON.parse(Buffer.from(theirs).toString()));
      return pick % 2 === 0 ? overwrite(manifestKey(ref), theirs) : put({ ...parsed, backup: ref.backup });
    }
    case 'new backup': {
      const fresh = { plan: ref.plan, backup: `20991231T000000Z-${salt}` };
      const takenAt = '2026-11-29T00:00:00.000Z';
      return put({ ...manifest, ...fresh, readPoint: { ...manifest.readPoint, takenAt } }, fresh);
    }
    case 'repository.json': {
      const about = z
        .looseObject({ id: z.string() })
        .parse(JSON.parse(Buffer.from(await store.get('repository.json')).toString()));
      return dress(
        store,
        'repository.json',
        { ...about, createdAt: '2020-01-01T00:00:00.000Z' },
        await store.get('repository.json'),
        forger,
        trusted,
        forgery.dress,
      );
    }
    case 'register': {
      const number = 1 + (pick % 1_000);
      const key = registerKey(ref.plan, number);
      const forged = {
        formatVersion: 1,
        plan: ref.plan,
        number,
        writtenAt: '2026-11-30T00:00:00.000Z',
        backups: [],
      };
      return dress(store, key, forged, original, forger, trusted, forgery.dress);
    }
    case 'tombstone': {
      const discarded = { at: '2026-11-30T00:00:00.000Z', reason: `${salt}`, finished: true };
      return overwrite(
        manifestKey(ref),
        sealJson({ formatVersion: 1, plan: ref.plan, backup: ref.backup, discarded }),
      );
    }
  }
}

/** Writes sealed JSON with whatever signature a forger can have. */
async function dress(
  store: Store,
  key: string,
  value: object,
  original: Uint8Array,
  forger: Signer,
  trusted: Signer,
  how: Dress,
): Promise<void> {
  const { signature: _signature, sha256: _seal, ...bare } = { signature: '', sha256: '', ...value };
  const secret = readSigningKey(forger.file, 'the forger’s');
  const body = await (() => {
    switch (how) {
      case 'stripped':
      case 'own key beside':
        return sealJson(bare);
      case 'old signature':
        return sealSignedJson(bare, async () => signedTextOf(original)?.signature ?? '');
      case 'own key':
        return sealSignedJson(bare, async (message) => signMessage(secret, namespaceOf(key), message));
      case 'garbage':
        return sealSignedJson(
          bare,
          async () => '-----BEGIN SSH SIGNATURE-----\nAAAA\n-----END SSH SIGNATURE-----\n',
        );
    }
  })();
  await store.put(key, body, { sha256: sha256Hex(body), ifAbsent: false });
  if (how !== 'own key beside') return;
  // Where a trusted signature would lie.
  const beside = Buffer.from(signMessage(secret, namespaceOf(key), body));
  const fingerprint = parsePublicKey(trusted.publicLine)?.fingerprint ?? '';
  await store.put(signatureKey(key, sha256Hex(body), fingerprint), beside, {
    sha256: sha256Hex(beside),
    ifAbsent: false,
  });
}
