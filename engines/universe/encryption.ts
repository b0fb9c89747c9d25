import { defined } from '../../model/defined.ts';
import type { ManifestUniverse } from '../../model/manifest.ts';
import { field, textField } from './yb-admin/text.ts';

/** Encryption at rest as the universe's configuration states it (`EncryptionInfoPB`, catalog_entity_info.proto). */
export interface Encryption {
  readonly enabled: boolean;
  /** Id of the newest universe key; absent if the configuration names none. */
  readonly key?: string;
}

/** Undefined if the universe was never configured to encrypt. */
export function encryptionOf(config: unknown): Encryption | undefined {
  const info = field(config, 'encryptionInfo') ?? field(config, 'encryption_info');
  if (info === undefined) return undefined;
  const key = textField(info, 'latestVersionId', 'keyId', 'latest_version_id', 'key_id');
  const enabled = field(info, 'encryptionEnabled') ?? field(info, 'encryption_enabled');
  return { enabled: enabled === true, ...defined({ key }) };
}

/** The universe's UUID in its configuration; undefined if there is none. */
export function clusterUuidOf(config: unknown): string | undefined {
  return textField(config, 'clusterUuid', 'cluster_uuid');
}

/** The entry in a manifest for encrypted files whose key the universe doesn't name. */
export const KEY_UNKNOWN = 'enabled';

/**
 * Says why a universe can't read the files of a backup; undefined if it can, as far as is known. A universe keeps its earlier keys. Another one
 * counts as having a key only if it is its newest.
 */
export function encryptionProblem(
  { encryption: key, clusterUuid }: Pick<ManifestUniverse, 'encryption' | 'clusterUuid'>,
  config: unknown,
): string | undefined {
  if (key === undefined) return undefined;
  const found = encryptionOf(config);
  const isSame = clusterUuid !== undefined && clusterUuid === clusterUuidOf(config);
  const fact = `The backup’s files are encrypted with the universe key ${key}`;
  if (found === undefined || (!found.enabled && !isSame)) {
    return `${fact}, and this universe does not encrypt at rest`;
  }
  if (isSame || key === KEY_UNKNOWN || found.key === undefined || found.key === key) return undefined;
  return `${fact}, and this universe, which is another one, has the key ${found.key}`;
}
