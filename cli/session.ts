import { connect } from 'node:net';
import type { Client, WorkflowClientInterceptor } from '@temporalio/client';
import { isPolled } from '../activities/pollers.ts';
import { defined } from '../model/defined.ts';
import { messageOf, transient } from '../model/errors.ts';
import type { CompiledPlan } from '../model/pipeline.ts';
import {
  type ConnectedClient,
  connectClient,
  DEFAULT_TEMPORAL_ADDRESS,
  temporalIsConfigured,
} from '../worker/connection.ts';
import { registerSearchAttributes } from '../worker/search-attributes.ts';
import { commandTrace } from './command-trace.ts';
import { ensureEmbedded, leaveEmbedded, type Needs } from './embedded.ts';
import { say } from './output.ts';
import { variablesOf } from './worker-environment.ts';

/** What a command needs from its session. */
export interface SessionNeeds {
  /** The plan that the command is about. If it is applied, its worker serves the command. */
  readonly plan?: CompiledPlan;
  /** Variables that the command names, besides those of the plan. */
  readonly variables?: readonly string[];
  /** What may be started where no Temporal is configured (`Needs` of `embedded.ts`). Default: a worker. */
  readonly starts?: Needs['starts'];
  /** The name that Temporal records with what is sent. Default: that of the person (`worker/person.ts`). */
  readonly identity?: string;
}

/** A command's connection to Temporal: the configured one, one on the default address, or the embedded default. */
export interface Session {
  readonly client: Client;
  readonly taskQueue: string;
  /** The task queue for one of several plans: that of the embedded worker that serves the plan, or else `taskQueue`. */
  readonly queueOf: (plan: CompiledPlan) => Promise<string>;
  /** The server's address for people. For the embedded one, a text that says so. */
  readonly server: string;
  /** True: server and worker are the embedded ones (`cli/embedded.ts`). */
  readonly isEmbedded: boolean;
  /** Base address of the Temporal UI, where it is known. */
  readonly uiUrl?: string;
  /** Says a sentence on stderr: for the library, which writes nothing itself. */
  readonly tell: (sentence: string) => void;
  /** Restarts the embedded server or worker if it has died. Called while a run is followed. */
  keepAlive(): Promise<void>;
  /** Ends the session. `keep` leaves an embedded server and worker running. */
  end(options?: { readonly keep?: boolean }): Promise<void>;
}

/** How often a restart is tried, since the server may die while the worker starts, or the other way round. */
const REVIVALS_TRIED = 5;

/** Opens a session. With `starts: 'nothing'`: undefined if nothing runs and nothing was ever applied. */
export async function findSession(needs: SessionNeeds): Promise<Session | undefined> {
  // A server of MCP, which names itself, serves many requests, and they belong to no common trace.
  const trace = needs.identity === undefined ? await commandTrace() : undefined;
  if (temporalIsConfigured())
    return external(await connectClient(undefined, undefined, needs.identity, trace));
  const local = await tryDefaultAddress(needs.identity, trace);
  if (local !== undefined) return external(local);

  const wants: Needs = {
    starts: needs.starts ?? 'worker',
    variables: [...variablesOf(needs.plan), ...(needs.variables ?? [])],
    ...defined({ plan: needs.plan?.name }),
  };
  const found = await ensureEmbedded(wants);
  if (found === undefined) return undefined;
  let embedded = found;
  let revivals = 0;
  const { address, uiUrl, taskQueue, key } = embedded;
  const { client, connection, target } = await connectClient(address, key, needs.identity, trace);
  await registerSearchAttributes(connection, target.namespace);
  return {
    client,
    taskQueue,
    server: 'not configured: commands start their own (TEMPORAL_ADDRESS names another)',
    isEmbedded: true,
    uiUrl,
    tell: say,
    queueOf: (plan) => embedded.queueOf(client, plan.name, variablesOf(plan)),
    keepAlive: async () => {
      const condition = await embedded.condition();
      if (condition === 'alive') return;
      if (condition === 'stopped') {
        throw transient(
          'SERVER_STOPPED',
          'the embedded Temporal server was stopped meanwhile (holdfast down)',
          'The run goes on where it was with the next command that starts the server.',
        );
      }
      say('The embedded server or worker has died; starting it again …');
      revivals += 1;
      try {
        embedded = (await ensureEmbedded(wants)) ?? embedded;
        revivals = 0;
      } catch (error) {
        if (revivals === REVIVALS_TRIED) throw error;
        say(`${messageOf(error)}; trying once more`);
      }
    },
    end: async ({ keep = false } = {}) => {
      if (wants.starts === 'nothing') return connection.close();
      const left = await leaveEmbedded(client, keep);
      await connection.close();
      if (left === 'left')
        say(`Temporal and the worker go on in the background (UI: ${uiUrl}; holdfast down ends them).`);
    },
  };
}

/** Opens a session, and starts what it needs. */
export async function openSession(
  needs: SessionNeeds & { readonly starts?: 'worker' | 'server' },
): Promise<Session> {
  const session = await findSession(needs);
  if (session === undefined) throw new TypeError('a session that may start a server has one');
  return session;
}

/** Address of a run's page in the Temporal UI. Undefined where the UI's address isn't known. */
export function runUrl(session: Session, workflowId: string): string | undefined {
  if (session.uiUrl === undefined) return undefined;
  return `${session.uiUrl}/namespaces/default/workflows/${encodeURIComponent(workflowId)}`;
}

async function external({ client, connection, target }: ConnectedClient): Promise<Session> {
  await registerSearchAttributes(connection, target.namespace);
  if (!(await isPolled(client, target.taskQueue))) {
    say(
      `No worker takes new work from the task queue ${target.taskQueue} at ${target.address} yet: start one with \`holdfast worker\`, or make its build the current one of its deployment (\`holdfast deployment\`).`,
    );
  }
  const uiUrl = process.env.HOLDFAST_UI_URL;
  return {
    client,
    taskQueue: target.taskQueue,
    server: `${target.address}, namespace ${target.namespace}`,
    isEmbedded: false,
    tell: say,
    queueOf: async () => target.taskQueue,
    ...defined({ uiUrl }),
    keepAlive: async () => undefined,
    end: () => connection.close(),
  };
}

async function tryDefaultAddress(
  identity: string | undefined,
  trace: WorkflowClientInterceptor | undefined,
): Promise<ConnectedClient | undefined> {
  // Try a plain connection first: if nothing listens, Temporal's client would try for seconds.
  if (!(await somethingListens(DEFAULT_TEMPORAL_ADDRESS))) return undefined;
  try {
    return await connectClient(DEFAULT_TEMPORAL_ADDRESS, undefined, identity, trace);
  } catch {
    say(
      `What listens on ${DEFAULT_TEMPORAL_ADDRESS} does not answer as Temporal does; using our own server.`,
    );
    return undefined;
  }
}

function somethingListens(address: string): Promise<boolean> {
  const [host = '', port = ''] = address.split(':');
  return new Promise((resolve) => {
    const socket = connect({ host, port: Number(port), timeout: 1_000 });
    const done = (listens: boolean) => {
      socket.destroy();
      resolve(listens);
    };
    socket.once('connect', () => done(true));
    socket.once('timeout', () => done(false));
    socket.once('error', () => done(false));
  });
}
