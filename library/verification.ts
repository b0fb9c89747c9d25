import type { CompiledPlan } from '../model/pipeline.ts';
import type { VerifyInput } from '../workflows/messages.ts';
import type { Access } from './access.ts';
import { newestBackup, requireBackup } from './backups.ts';

/** How a backup is verified: `exists`, `checksums` (nothing downloaded), `content` (every byte), `restore`, `schema` (no rows). */
export type VerificationLevel = VerifyInput['level'];

/** A verification to start. */
export interface Verification {
  readonly backup: string;
  readonly level: VerificationLevel;
  /** True: the plan's archive of changes is verified too. */
  readonly archive: boolean;
}

/**
 * What is verified where a person names a backup, or none: then the newest, and the plan's archive of changes with it.
 *
 * @throws UsageError where there is no such backup, HoldfastError `NO_BACKUP` (permanent) where there is none at all
 */
export async function verificationOf(
  access: Access,
  plan: CompiledPlan,
  backup: string | undefined,
  level: VerificationLevel,
): Promise<Verification> {
  // This doesn't read the backup's manifest, which may be what is damaged.
  if (backup !== undefined) await requireBackup(access, plan, backup);
  const archive = backup === undefined && plan.pointTime?.archive !== undefined && level !== 'schema';
  return { backup: backup ?? (await newestBackup(access, plan)), level, archive };
}
