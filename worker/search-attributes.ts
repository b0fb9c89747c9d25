import type { Connection } from '@temporalio/client';
import { messageOf, permanent } from '../model/errors.ts';
import { SEARCH_ATTRIBUTES } from '../workflows/messages.ts';
import { GRPC, grpcCodeOf, temporalFailure } from './temporal-errors.ts';

/** `temporal.api.enums.v1.IndexedValueType`. */
const KEYWORD = 2;

/**
 * Registers the search attributes that workflows set and Temporal lacks. A workflow that sets an unregistered attribute hangs
 * instead of failing, so this runs before any worker polls, and before anything is started or applied.
 *
 * @throws HoldfastError `NAMESPACE_MISSING`, `SEARCH_ATTRIBUTES` (no permission, say), `TEMPORAL_DENIED`, `TEMPORAL_UNREACHABLE`
 */
export async function registerSearchAttributes(connection: Connection, namespace: string): Promise<void> {
  const missing = await missingAttributes(connection, namespace);
  if (missing.length === 0) return;
  try {
    await connection.operatorService.addSearchAttributes({
      namespace,
      searchAttributes: Object.fromEntries(missing.map((name) => [name, KEYWORD])),
    });
  } catch (error) {
    if (grpcCodeOf(error) === GRPC.unavailable) throw temporalFailure(error);
    const options = missing.map((name) => `--name ${name} --type Keyword`).join(' ');
    throw permanent(
      'SEARCH_ATTRIBUTES',
      `the search attributes ${missing.join(', ')} can't be registered in namespace ${namespace} (${messageOf(error)})`,
      `Let somebody with the permission run: temporal operator search-attribute create --namespace ${namespace} ${options}`,
      error,
    );
  }
}

async function missingAttributes(connection: Connection, namespace: string): Promise<readonly string[]> {
  try {
    const { customAttributes } = await connection.operatorService.listSearchAttributes({ namespace });
    return SEARCH_ATTRIBUTES.filter((name) => !(name in (customAttributes ?? {})));
  } catch (error) {
    if (!MAY_NOT_LIST.includes(grpcCodeOf(error))) throw failureOf(error, namespace);
    const isKnown = await Promise.all(
      SEARCH_ATTRIBUTES.map((name) => canBeAsked(connection, namespace, name)),
    );
    return SEARCH_ATTRIBUTES.filter((_, index) => !isKnown[index]);
  }
}

/** Answers for credentials that may run workflows but may not read the server's settings. */
const MAY_NOT_LIST: readonly (number | undefined)[] = [GRPC.permissionDenied, GRPC.unimplemented];

/** Whether the server knows an attribute. It refuses a query that names an unknown one. */
async function canBeAsked(connection: Connection, namespace: string, name: string): Promise<boolean> {
  try {
    await connection.workflowService.countWorkflowExecutions({ namespace, query: `${name} = "none"` });
    return true;
  } catch (error) {
    if (grpcCodeOf(error) === GRPC.invalidArgument) return false;
    throw failureOf(error, namespace);
  }
}

function failureOf(error: unknown, namespace: string): unknown {
  if (grpcCodeOf(error) !== GRPC.notFound) return temporalFailure(error) ?? error;
  return permanent(
    'NAMESPACE_MISSING',
    `Temporal has no namespace ${namespace}`,
    `Create it (temporal operator namespace create ${namespace}), or name another in TEMPORAL_NAMESPACE.`,
    error,
  );
}
