/** For `node --import`: writes each module of OpenTelemetry that a process loads into the file that `OPENTELEMETRY_LOADED` names. */
import { appendFileSync } from 'node:fs';
import { registerHooks } from 'node:module';

registerHooks({
  load(url, context, next) {
    if (url.includes('/@opentelemetry/')) appendFileSync(process.env.OPENTELEMETRY_LOADED ?? '', `${url}\n`);
    return next(url, context);
  },
});
