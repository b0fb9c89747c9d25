import fc from 'fast-check';

/*
 * Every run of `npm test` tries the same cases, so that a verdict changes only with the code. To try others:
 * `PROPERTY_SEED=$RANDOM npm run test:one -- test/compiler/properties`. A property that fails prints its seed.
 */
fc.configureGlobal({ seed: Number(process.env.PROPERTY_SEED ?? 20261128) });
