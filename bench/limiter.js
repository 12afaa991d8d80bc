// rate-limiter-flexible over five levels, for bench/run: limiter.js STORE CALLS-UNDER-WAY SECONDS|CONNECT REDIS-PORT PGHOST PGUSER PGDATABASE
// prints calls a second and calls.
const { RateLimiterRedis, RateLimiterPostgres, RateLimiterUnion } = require('rate-limiter-flexible');

const [store, clients, seconds, redisPort, host, user, database] = process.argv.slice(2);
const levels = ['org', 'dept', 'team', 'user', 'agent'];
const common = (level) => ({ keyPrefix: `bench_${level}`, points: 1e9, duration: 86400 });

async function limiters() {
	if (store === 'redis') {
		const Redis = require('ioredis');
		const storeClient = new Redis({ port: Number(redisPort), host: '127.0.0.1', enableOfflineQueue: true });
		return { list: levels.map((level) => new RateLimiterRedis({ storeClient, ...common(level) })), close: () => storeClient.quit() };
	}
	const { Pool } = require('pg');
	const storeClient = new Pool({ host, user, database, max: Number(clients) });
	const ready = (level) => new Promise((resolve, reject) => {
		const limiter = new RateLimiterPostgres({ storeClient, tableName: 'limiter_counters', clearExpiredByTimeout: false, ...common(level) },
			(error) => (error ? reject(error) : resolve(limiter)));
	});
	const list = [];
	for (const level of levels) list.push(await ready(level));
	return { list, close: () => storeClient.end() };
}

async function main() {
	const { list, close } = await limiters();
	const union = new RateLimiterUnion(...list);
	const start = process.hrtime.bigint();
	const end = seconds === 'CONNECT' ? 0n : start + BigInt(Number(seconds) * 1e9);
	let calls = 0;
	await Promise.all(Array.from({ length: Number(clients) }, async () => {
		do {
			await union.consume('acme');
			calls++;
		} while (process.hrtime.bigint() < end);
	}));
	console.log(calls / (Number(process.hrtime.bigint() - start) / 1e9), calls);
	await close();
}

main().catch((error) => { console.error(error); process.exit(1); });
