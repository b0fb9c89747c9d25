import type { Connection } from '@temporalio/client';
import { messageOf, permanent, transient } from '../model/errors.ts';
import { SEARCH_ATTRIBUTES } from '../workflows/messages.ts';

/** `temporal.api.enums.v1.IndexedValueType`. */
const KEYWORD = 2;

/** Codes of gRPC that say more than that a call failed. */
const NOT_FOUND = 5;
const UNAVAILABLE = 14;

/**
 * Registers what workflows set and is missing. A workflow that sets an unregistered attribute does not fail but hangs,
 * so this runs before any worker polls, and before anything is started or applied.
 *
 * @throws HoldfastError `NAMESPACE_MISSING`, `SEARCH_ATTRIBUTES` (no permission, say), `TEMPORAL_UNREACHABLE`
 */
export async function registerSearchAttributes(connection: Connection, namespace: string): Promise<void> {
  let missing: readonly string[] = SEARCH_ATTRIBUTES;
  try {
    const { customAttributes } = await connection.operatorService.listSearchAttributes({ namespace });
    missing = SEARCH_ATTRIBUTES.filter((name) => !(name in (customAttributes ?? {})));
    if (missing.length === 0) return;
    await connection.operatorService.addSearchAttributes({
      namespace,
      searchAttributes: Object.fromEntries(missing.map((name) => [name, KEYWORD])),
    });
  } catch (error) {
    throw failureOf(error, namespace, missing);
  }
}

function failureOf(error: unknown, namespace: string, missing: readonly string[]) {
  const code = error instanceof Error && 'code' in error ? error.code : undefined;
  if (code === NOT_FOUND) {
    return permanent(
      'NAMESPACE_MISSING',
      `Temporal has no namespace ${namespace}`,
      `Create it (temporal operator namespace create ${namespace}), or name another in TEMPORAL_NAMESPACE.`,
      error,
    );
  }
  if (code === UNAVAILABLE) {
    return transient(
      'TEMPORAL_UNREACHABLE',
      `Temporal does not answer (${messageOf(error)})`,
      'Try again when it is up.',
      error,
    );
  }
  const options = missing.map((name) => `--name ${name} --type Keyword`).join(' ');
  return permanent(
    'SEARCH_ATTRIBUTES',
    `the search attributes ${missing.join(', ')} can't be registered in namespace ${namespace} (${messageOf(error)})`,
    `Let somebody with the permission run: temporal operator search-attribute create --namespace ${namespace} ${options}`,
    error,
  );
}
