import { execFile } from 'node:child_process';
import { mkdir, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { promisify } from 'node:util';
import { permanent } from '../model/errors.ts';
import { orInstall, type Report } from './debian.ts';
import { findOnPath } from './path.ts';
import { freePort } from './ports.ts';
import { startServer } from './process.ts';
import { createScratchFolder } from './scratch.ts';

const MISSING = 'PROMETHEUS_MISSING';

/** Returns the path of Prometheus. Installs it first if it is missing and this user may. Throws `PROMETHEUS_MISSING`. */
export function ensurePrometheus(report?: Report): Promise<string> {
  return orInstall(findPrometheus, [MISSING], ['prometheus'], report);
}

/** Debian's package has both programs. Its service is not used. */
async function findPrometheus(): Promise<string> {
  const server = await findOnPath('prometheus');
  if (server !== undefined && (await findOnPath('promtool')) !== undefined) return server;
  throw permanent(
    MISSING,
    'no Prometheus on this machine: no `prometheus` or no `promtool` on PATH',
    'Install it: `apt-get install prometheus` on Debian and Ubuntu, `brew install prometheus` on macOS.',
  );
}

type PrometheusOptions = {
  /** `host:port` to scrape. */
  readonly targets: readonly string[];
  /** Absolute paths. */
  readonly ruleFiles: readonly string[];
};

/** A running Prometheus. */
export type PrometheusServer = {
  readonly url: string;
  readonly logFile: string;
  /** The data of an API call, such as `/api/v1/rules`. Throws if the call fails. */
  api(call: string): Promise<unknown>;
  stop(): Promise<void>;
};

/**
 * Starts a Prometheus of our own on 127.0.0.1, which scrapes every second.
 *
 * @throws HoldfastError `PROMETHEUS_MISSING`, `SERVER_START`
 */
export async function startPrometheus(
  options: PrometheusOptions,
  report?: Report,
): Promise<PrometheusServer> {
  const command = await ensurePrometheus(report);
  const scratch = await createScratchFolder('prometheus');
  try {
    const config = path.join(scratch.path, 'prometheus.yaml');
    await mkdir(path.join(scratch.path, 'data'));
    // The configuration is written as JSON, which is valid YAML.
    await writeFile(
      config,
      JSON.stringify({
        global: { scrape_interval: '1s', evaluation_interval: '1s' },
        rule_files: options.ruleFiles,
        scrape_configs: [{ job_name: 'holdfast', static_configs: [{ targets: options.targets }] }],
      }),
    );
    const port = await freePort();
    const url = `http://127.0.0.1:${port}`;
    const server = await startServer({
      name: 'Prometheus',
      command,
      args: [
        `--config.file=${config}`,
        `--storage.tsdb.path=${path.join(scratch.path, 'data')}`,
        `--web.listen-address=127.0.0.1:${port}`,
      ],
      logFile: path.join(scratch.path, 'prometheus.log'),
      checkReady: async () => {
        const { ok, status } = await fetch(`${url}/-/ready`);
        if (!ok) throw new Error(`it answers ${status}`);
      },
    });
    return {
      url,
      logFile: server.logFile,
      async api(call) {
        const response = await fetch(url + call);
        const answer = (await response.json()) as { readonly status: string; readonly data?: unknown };
        if (answer.status !== 'success') throw new Error(`${call}: ${JSON.stringify(answer)}`);
        return answer.data;
      },
      async stop() {
        await server.stop();
        await scratch.remove();
      },
    };
  } catch (error) {
    await scratch.remove();
    throw error;
  }
}

/** Runs `promtool` and returns its output. Throws with the output if it finds a fault. */
export async function promtool(args: readonly string[], report?: Report): Promise<string> {
  await ensurePrometheus(report);
  const { stdout, stderr } = await promisify(execFile)('promtool', [...args]);
  return stdout + stderr;
}
