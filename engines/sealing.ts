import { hostname } from 'node:os';
import type { BackupSummary, ObjectEntry, SealInput } from '../model/backup.ts';
import { defined } from '../model/defined.ts';
import { HoldfastError } from '../model/errors.ts';
import { lossesIn, unreadIn } from '../model/manifest.ts';
import { rowsOf } from '../model/rows.ts';
import packageJson from '../package.json' with { type: 'json' };
import { findManifest, type StoredManifest } from '../repository/backups/manifest.ts';
import type { ManifestDraft } from '../repository/backups/write-manifest.ts';
import { mapBounded } from '../repository/bounded.ts';
import { crashPoint } from '../repository/crash-points.ts';
import { sweepBackup } from '../repository/retention/sweep.ts';
import { sha256Hex } from '../repository/sha256.ts';
import type { BackupContext, Engine, KitFile, SealingParts } from './engine.ts';

const KIT_FILES_AT_ONCE = 8;
/** Losses that a workflow's history lists; the manifest has all of them. */
const LOSSES_LISTED = 20;

/**
 * Seals a backup of any engine: collects the engine's parts, writes the kit for a restore without Holdfast, and last the manifest. From then on the
 * backup exists. Then it clears the folder of what the manifest doesn't name.
 *
 * If the manifest exists already, it writes nothing: the work lists may be gone.
 */
export async function sealBackup(
  engine: Pick<Engine, 'collect'>,
  context: BackupContext,
  input: SealInput,
): Promise<BackupSummary> {
  const finished = await findManifest(context.store, context.ref, { signal: context.signal });
  if (finished !== undefined) return await sealed(context, finished);
  const parts = await engine.collect(context, input.source, input.readPoint);
  const draft = draftOf(input, parts);
  const kit = await writeKit(context, parts.kit(draft));
  const commonObjects = [...draft.commonObjects, ...kit];
  crashPoint('seal-kit');
  const written = await parts.writeManifest({ ...draft, commonObjects });
  crashPoint('seal-manifest');
  return await sealed(context, written);
}

function draftOf(input: SealInput, { description }: SealingParts): ManifestDraft {
  const { ref, readPoint, source, pipelineHash, startedAt } = input;
  return {
    plan: ref.plan,
    backup: ref.backup,
    engine: source.engine,
    pipelineHash,
    writtenBy: { holdfast: packageJson.version, host: hostname() },
    startedAt,
    completedAt: new Date().toISOString(),
    readPoint,
    ...description,
  };
}

/** Replaces the kit of an earlier attempt, which counts for nothing until a manifest names it. */
async function writeKit(
  { store, folder, signal }: BackupContext,
  files: readonly KitFile[],
): Promise<readonly ObjectEntry[]> {
  return await Array.fromAsync(
    mapBounded(files, KIT_FILES_AT_ONCE, async ({ key, text }) => {
      const body = Buffer.from(text);
      const sha256 = sha256Hex(body);
      await store.put(folder + key, body, { sha256, ifAbsent: false, signal });
      return { key, sizeBytes: body.length, sha256 };
    }),
  );
}

async function sealed(context: BackupContext, { manifest, sha256 }: StoredManifest): Promise<BackupSummary> {
  await clearFolder(context);
  const { plan, backup } = context.ref;
  const losses = lossesIn(manifest).slice(0, LOSSES_LISTED);
  const unread = unreadIn(manifest).slice(0, LOSSES_LISTED);
  return {
    plan,
    backup,
    ...manifest.totals,
    ...defined({ newBytes: manifest.newBytes }),
    ...rowsOf(manifest),
    manifestSha256: sha256,
    ...(losses.length === 0 ? {} : { losses }),
    ...(unread.length === 0 ? {} : { unread }),
  };
}

/**
 * The backup is complete, so a failure to clear its folder must not make it a failed one. The credentials may not be allowed to delete
 * (docs/retention.md), or the store may fail now: either way the prune workflow, which has its own credentials, clears the folder later.
 */
async function clearFolder(context: BackupContext): Promise<void> {
  const { store, ref, signal, heartbeat } = context;
  try {
    await sweepBackup(store, ref, { signal, heartbeat });
  } catch (error) {
    signal.throwIfAborted();
    if (!(error instanceof HoldfastError)) throw error;
    context.log(`what ${ref.backup} leaves over stays until the next prune: ${error.message}`);
  }
}
