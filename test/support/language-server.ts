import { type ChildProcess, spawn } from 'node:child_process';
import path from 'node:path';
import { pathToFileURL } from 'node:url';

/** A client of the real yaml-language-server that behaves like an editor: JSON-RPC over its standard streams. */

export interface Diagnostic {
  readonly message: string;
  readonly range: { readonly start: Position };
}
export interface Position {
  readonly line: number;
  readonly character: number;
}

const SERVER = path.resolve(
  __dirname,
  '..',
  '..',
  'node_modules',
  'yaml-language-server',
  'bin',
  'yaml-language-server',
);

export class LanguageServer {
  readonly #child: ChildProcess;
  readonly #answers = new Map<number, (result: unknown) => void>();
  readonly #diagnosed = new Map<string, (diagnostics: readonly Diagnostic[]) => void>();
  #received = Buffer.alloc(0);
  #sent = 0;

  private constructor() {
    this.#child = spawn(process.execPath, [SERVER, '--stdio'], { stdio: ['pipe', 'pipe', 'ignore'] });
    this.#child.stdout?.on('data', (bytes: Buffer) => this.#read(bytes));
  }

  static async start(folder: string): Promise<LanguageServer> {
    const server = new LanguageServer();
    const rootUri = pathToFileURL(folder).href;
    await server.#ask('initialize', {
      processId: process.pid,
      rootUri,
      capabilities: { textDocument: { hover: { contentFormat: ['plaintext'] }, completion: {} } },
    });
    server.#notify('initialized', {});
    return server;
  }

  /** Opens a file with this text. Resolves with the diagnostics that an editor would underline. */
  open(file: string, text: string): Promise<readonly Diagnostic[]> {
    const uri = pathToFileURL(file).href;
    const diagnosed = new Promise<readonly Diagnostic[]>((resolve) => this.#diagnosed.set(uri, resolve));
    this.#notify('textDocument/didOpen', { textDocument: { uri, languageId: 'yaml', version: 1, text } });
    return diagnosed;
  }

  /** Returns the keys or values that the editor offers at a position. */
  async complete(file: string, position: Position): Promise<readonly string[]> {
    const answer = await this.#at('textDocument/completion', file, position);
    const { items } = answer as { items: readonly { label: string }[] };
    return items.map(({ label }) => label);
  }

  async hover(file: string, position: Position): Promise<string> {
    const answer = await this.#at('textDocument/hover', file, position);
    return JSON.stringify(answer);
  }

  async stop(): Promise<void> {
    const ended = new Promise((resolve) => this.#child.once('close', resolve));
    this.#child.kill('SIGTERM');
    await ended;
  }

  #at(method: string, file: string, position: Position): Promise<unknown> {
    return this.#ask(method, { textDocument: { uri: pathToFileURL(file).href }, position });
  }

  #ask(method: string, params: object): Promise<unknown> {
    const id = ++this.#sent;
    return new Promise((resolve) => {
      this.#answers.set(id, resolve);
      this.#send({ jsonrpc: '2.0', id, method, params });
    });
  }

  #notify(method: string, params: object): void {
    this.#send({ jsonrpc: '2.0', method, params });
  }

  #send(message: object): void {
    const body = JSON.stringify(message);
    this.#child.stdin?.write(`Content-Length: ${Buffer.byteLength(body)}\r\n\r\n${body}`);
  }

  #read(bytes: Buffer): void {
    this.#received = Buffer.concat([this.#received, bytes]);
    for (;;) {
      const end = this.#received.indexOf('\r\n\r\n');
      if (end < 0) return;
      const length = Number(/Content-Length: (\d+)/i.exec(this.#received.toString('utf8', 0, end))?.[1]);
      if (this.#received.length < end + 4 + length) return;
      const body = this.#received.toString('utf8', end + 4, end + 4 + length);
      this.#received = this.#received.subarray(end + 4 + length);
      this.#take(JSON.parse(body));
    }
  }

  #take(message: { id?: number; method?: string; result?: unknown; params?: unknown }): void {
    const { id, method, result, params } = message;
    if (method === 'textDocument/publishDiagnostics') {
      const { uri, diagnostics } = params as { uri: string; diagnostics: readonly Diagnostic[] };
      this.#diagnosed.get(uri)?.(diagnostics);
    } else if (method !== undefined && id !== undefined) {
      // The server asks an editor for its settings (answer: none) and for permission to register (answer: yes).
      const items = (params as { items?: readonly unknown[] } | undefined)?.items ?? [];
      this.#send({
        jsonrpc: '2.0',
        id,
        result: method === 'workspace/configuration' ? items.map(() => ({})) : null,
      });
    } else if (id !== undefined) this.#answers.get(id)?.(result);
  }
}
