import { Client, Connection, type WorkflowClientInterceptor } from '@temporalio/client';
import { loadClientConnectConfig } from '@temporalio/envconfig';
import type { NativeConnection } from '@temporalio/worker';
import type { Environment } from '../engines/resolve-secret.ts';
import { messageOf, transient } from '../model/errors.ts';
import { DEFAULT_TASK_QUEUE } from '../model/task-queue.ts';
import { interceptors } from './closed-channel.ts';
import { personHere } from './person.ts';
import { clientSigning, configuredSigningKey, type SigningKey } from './signing.ts';
import { temporalFailure } from './temporal-errors.ts';

export const DEFAULT_TEMPORAL_ADDRESS = 'localhost:7233';

interface TemporalTarget {
  readonly address: string;
  readonly namespace: string;
  readonly taskQueue: string;
}

/** A client, with what it is connected to. */
export interface ConnectedClient {
  readonly client: Client;
  readonly connection: Connection;
  readonly target: TemporalTarget;
}

/** True if the operator has configured a Temporal, by environment or by Temporal's configuration file. */
export function temporalIsConfigured(): boolean {
  return loadClientConnectConfig().connectionOptions.address !== undefined;
}

/**
 * A client, by Temporal's own environment configuration (address, namespace, TLS, API key); `address` overrides the address. `key` signs what it sends; by
 * default the one that the environment names. `identity` is the name that Temporal records with what it sends: by default that of the person. `trace` is asked
 * before anything is started or sent.
 */
export function connectClient(
  address?: string,
  key: SigningKey | undefined = configuredSigningKey(),
  identity?: string,
  trace?: WorkflowClientInterceptor,
): Promise<ConnectedClient> {
  return connectIn(process.env, address, key, identity, trace);
}

/** As `connectClient`, with the variables of `environment` instead of this process's own. */
export async function connectIn(
  environment: Environment,
  address?: string,
  key: SigningKey | undefined = configuredSigningKey(environment),
  identity = personHere(environment),
  trace?: WorkflowClientInterceptor,
): Promise<ConnectedClient> {
  const { connectionOptions, namespace } = loadClientConnectConfig({ overrideEnvVars: setIn(environment) });
  const target = targetOf(address ?? connectionOptions.address, namespace, environment);
  try {
    const connection = await Connection.connect({
      ...connectionOptions,
      address: target.address,
      connectTimeout: 5_000,
      interceptors,
    });
    return {
      client: new Client({
        connection,
        namespace: target.namespace,
        identity,
        ...clientSigning(key),
        ...(trace === undefined ? {} : { interceptors: { workflow: [trace] } }),
      }),
      connection,
      target,
    };
  } catch (error) {
    throw unreachable(target.address, error);
  }
}

/** A connection for workers, configured in the same way. Commands never need it, and loading it takes half a second of CPU. */
export async function connectWorker(
  address?: string,
): Promise<{ connection: NativeConnection; target: TemporalTarget }> {
  const { connectionOptions, namespace } = loadClientConnectConfig();
  const target = targetOf(address ?? connectionOptions.address, namespace, process.env);
  const { NativeConnection } = await import('@temporalio/worker');
  try {
    return {
      connection: await NativeConnection.connect({ ...connectionOptions, address: target.address }),
      target,
    };
  } catch (error) {
    throw unreachable(target.address, error);
  }
}

function setIn(environment: Environment): Record<string, string> {
  const set = Object.entries(environment).flatMap(([name, value]) =>
    value === undefined ? [] : [[name, value] as const],
  );
  return Object.fromEntries(set);
}

function targetOf(
  address: string | undefined,
  namespace: string | undefined,
  environment: Environment,
): TemporalTarget {
  return {
    address: address ?? DEFAULT_TEMPORAL_ADDRESS,
    namespace: namespace ?? 'default',
    taskQueue: environment.HOLDFAST_TASK_QUEUE ?? DEFAULT_TASK_QUEUE,
  };
}

function unreachable(address: string, cause: unknown) {
  const failure = temporalFailure(cause);
  if (failure?.code === 'TEMPORAL_DENIED') return failure;
  return transient(
    'TEMPORAL_UNREACHABLE',
    `no Temporal server answers at ${address} (${messageOf(cause)})`,
    'Start one, set TEMPORAL_ADDRESS to where it is, or unset it to let Holdfast start its own.',
    cause,
  );
}
