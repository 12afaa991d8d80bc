# What users add to the ledger and the holds holds for the rows that calls write, as for an INSERT: defaults, generated columns, checks,
# foreign keys, triggers. By every writing call, with a key and without, with the cache and without; and what is refused is not charged.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";

use PostgreSQL::Test::Utils;
use Test::More;
use GovTest;

my $node = gov_node('additions', conf => "governance.rollup_interval = '10min'");
my $agent = q{'acme', 'tokens', %s, null, '{agent-1}'};
my $number = 0;

sub sql { return $node->safe_psql('postgres', $_[0]); }

# The SQLSTATE and message of what must fail.
sub fails
{
	my ($sql) = @_;
	my ($ret, $out, $err) = $node->psql('postgres', $sql, extra_params => [ '-v', 'VERBOSITY=verbose', '-v', 'ON_ERROR_STOP=1' ]);

	return $err =~ /ERROR:  (\w+): ([^\n]*)/ ? "$1 $2" : "no error: $out";
}

# Each writing call for an amount: what it is called, and how to make it. A settled hold writes a row of either table.
sub calls
{
	my ($amount) = @_;
	my $arguments = sprintf $agent, $amount;
	my $n = ++$number;

	return (
		ingest => "select 1 from gov_ingest($arguments)",
		'ingest with a key' => "select 1 from gov_ingest($arguments, 'ingest $n')",
		consume => "select 1 from gov_consume($arguments)",
		'consume with a key' => "select 1 from gov_consume($arguments, 'consume $n')",
		ingest_many => qq{select 1 from gov_ingest_many('acme', '[{"capabilityId": "tokens", "amount": $amount, "entityIds": ["agent-1"]}]')},
		ingest_each => qq{select 1 from gov_ingest_each('[{"ownerId": "acme", "capabilityId": "tokens", "amount": $amount, "entityIds": ["agent-1"]}]')},
		consume_many => qq{select 1 from gov_consume_many('[{"ownerId": "acme", "capabilityId": "tokens", "amount": $amount, "entityIds": ["agent-1"]}]')},
		'consume_many with a key' => qq{select 1 from gov_consume_many('[{"ownerId": "acme", "capabilityId": "tokens", "amount": $amount, "entityIds": ["agent-1"], "idempotencyKey": "many $n"}]')},
		settle_many => "select 1 from gov_reserve($arguments) r, gov_settle_many(jsonb_build_array(jsonb_build_object('reservationId', r.reservation_id)))",
		settle => "select 1 from gov_reserve($arguments) r, gov_settle(r.reservation_id)",
		'settle with a key' => "select 1 from gov_reserve($arguments, 'hold $n') r, gov_settle(r.reservation_id)");
}

sub each_call
{
	my ($amount, $check) = @_;
	my @calls = calls($amount);

	while (my ($name, $sql) = splice @calls, 0, 2) { $check->($name, $sql); }
	return;
}

sub is_exact { my ($label) = @_; local $Test::Builder::Level = $Test::Builder::Level + 1; gov_is_exact($node, 'postgres', $label); return; }

gov_build($node, 'postgres');
sql('create table audit (id bigint, amount numeric, who text, note text); grant insert on audit to public');

# ---------------------------------------------------------------- columns

sql(q{
	create domain label as text default 'none' not null;
	alter table gov_events add region text not null default 'eu', add twice numeric generated always as (amount * 2) stored, add gone int default 5,
		add serial bigint generated always as identity, add label label, add plain int;
	alter table gov_events drop gone;
	alter table gov_reservations add region text not null default 'us', add thrice numeric generated always as (amount * 3) stored});
each_call(3, sub {
	my ($name, $sql) = @_;
	sql($sql);
	is(sql(q{select region, twice, serial = (select max(serial) from gov_events), label, plain from gov_events order by id desc limit 1}), 'eu|6|t|none|', "$name: defaults, identity, domain and generated column");
});
is(sql(q{select distinct region, thrice from gov_reservations}), 'us|9', 'and of holds');
is(sql(q{select count(*) = max(serial) and count(*) = 11 from gov_events}), 't', 'one row each');
my $reversed = sprintf q{from gov_ingest(%s) u, gov_reverse(u.event_id, 2%s) r}, sprintf($agent, 3), '%s';
sql("select 1 " . sprintf($reversed, $_)) foreach '', ", 'refund'";
is(sql(q{select count(*), min(region), min(twice), max(twice), count(distinct serial), min(label) from gov_events where reverses is not null}), '2|eu|-4|-4|2|none', 'reversals: defaults, identity, domain and generated column');
is_exact('columns');

# ---------------------------------------------------------------- what is refused

sql('alter table gov_events add constraint few check (amount < 100)');
each_call(100, sub {
	my ($name, $sql) = @_;
	is(fails($sql), '23514 new row for relation "gov_events" violates check constraint "few"', "$name: a check");
});
sql('alter table gov_events drop constraint few');
sql('alter table gov_events add constraint many check (amount > 0) not valid');
is(fails(sprintf "select 1 $reversed", $_), '23514 new row for relation "gov_events" violates check constraint "many"', "a reversal$_: a check") foreach '', ", 'another refund'";
sql('alter table gov_events drop constraint many');
is_exact('checks');
is(sql(q{select trim_scale(current_usage), trim_scale(reserved_usage) from gov_headroom('acme', 'tokens', 0, null, '{agent-1}') where entity_id = 'agent-1'}), '35|0', 'nothing of it is charged or held');
sql(q{alter table gov_reservations add constraint small check (amount < 100)});
is(fails(sprintf "select 1 from gov_reserve($agent)", 100), '23514 new row for relation "gov_reservations" violates check constraint "small"', 'a check on holds');
sql('alter table gov_reservations drop constraint small');
sql(q{alter table gov_events add vendor text default 'x', add constraint vendor foreign key (vendor) references gov_capabilities not valid});
is(fails(sprintf "select 1 from gov_ingest($agent)", 1), '23503 insert or update on table "gov_events" violates foreign key constraint "vendor"', 'a foreign key');
is(fails(sprintf "select 1 from gov_ingest($agent, 'vendor')", 1), '23503 insert or update on table "gov_events" violates foreign key constraint "vendor"', 'with a key too');
is(fails(q{select 1 from gov_ingest_many('acme', '[{"capabilityId": "tokens", "amount": 1, "entityIds": ["agent-1"]}, {"capabilityId": "tokens", "amount": 1, "entityIds": ["agent-1"]}]')}), '23503 insert or update on table "gov_events" violates foreign key constraint "vendor"', 'and in a batch');
sql(q{alter table gov_events alter vendor set default 'tokens'});
sql(sprintf "select 1 from gov_ingest($agent)", 1);
sql(q{alter table gov_events alter constraint vendor deferrable initially deferred, alter vendor set default 'y'});
is(fails(sprintf "begin; select 1 from gov_ingest($agent); select 1; commit", 1), '23503 insert or update on table "gov_events" violates foreign key constraint "vendor"', 'a deferred one, at the end');
sql(q{alter table gov_events drop vendor});
is_exact('foreign keys');
sql('alter table gov_events add constraint alone unique (plain) deferrable initially deferred, alter plain set default 7');
is(fails(sprintf "begin; select 1 from gov_ingest($agent); select 1 from gov_ingest($agent); commit", 1, 1), '23505 duplicate key value violates unique constraint "alone"', 'a deferred unique constraint');
sql('alter table gov_events drop constraint alone');
sql('alter table gov_events add constraint keyed check (idempotency_key is not null) not valid');
is(fails(sprintf "select 1 from gov_ingest($agent)", 1), '23514 new row for relation "gov_events" violates check constraint "keyed"', 'a check that a key be given');
sql('alter table gov_events drop constraint keyed');
is_exact('refused');

# ---------------------------------------------------------------- triggers

sql(q{
	create function note() returns trigger language plpgsql as $$ begin
		insert into public.audit select new.id, amount, current_user, tg_when || ' ' || tg_name from public.gov_events where id = new.id;
		return null; end $$;
	create function summarize() returns trigger language plpgsql as $$ begin
		insert into public.audit select null, sum(amount), current_user, count(*) || ' ' || tg_name from inserted;
		return null; end $$;
	create trigger each_row after insert on gov_events for each row when (new.amount > 1) execute function note();
	create constraint trigger later after insert on gov_events deferrable initially deferred for each row execute function note();
	create trigger statement after insert on gov_events referencing new table as inserted for each statement execute function summarize()});
each_call(3, sub {
	my ($name, $sql) = @_;
	sql("truncate audit; $sql");
	is(sql(q{select count(*), count(distinct id), min(amount), max(amount), string_agg(note, ', ' order by note) from audit}),
		'3|1|3|3|1 statement, AFTER each_row, AFTER later', "$name: triggers for each row, deferred and for the statement");
});
sql(q{truncate audit; select gov_ingest_many('acme', (select jsonb_agg(jsonb_build_object('capabilityId', 'tokens', 'amount', n, 'entityIds', jsonb_build_array('agent-1'))) from generate_series(1, 250) n))});
is(sql(q{select string_agg(note, ', ' order by note), sum(amount) from audit where id is null}), '250 statement|31375', 'a batch is one statement');
is(sql(q{select count(*), count(distinct id) from audit where id is not null}), '499|250', 'and each row is told of');
sql(q{alter table gov_events disable trigger each_row; alter table gov_events disable trigger statement; truncate audit});
sql(sprintf "begin; savepoint s; select 1 from gov_ingest($agent); rollback to s; select 1 from gov_ingest($agent); commit", 2, 4);
is(sql('select count(*), min(amount) from audit'), '1|4', 'what is rolled back is not told of');
sql('drop trigger each_row on gov_events; drop trigger statement on gov_events; drop trigger later on gov_events');
is_exact('triggers');

# Those before may refuse, and set users' columns.
sql(q{
	create function before() returns trigger language plpgsql as $$ begin
		case tg_argv[0]
			when 'refuse' then raise 'not today';
			when 'leave' then return null;
			when 'change' then new.amount := 0;
			when 'point' then new.reverses := coalesce(new.reverses, 0) + 1;
			when 'set' then new.region := 'asia';
			when 'call' then perform public.gov_ingest('acme', 'tokens', 1, null, '{agent-1}');
		end case;
		return new; end $$});
my %answers = (
	refuse => 'P0001 not today',
	leave => '39P01 a BEFORE trigger on table "gov_events" has left out a row',
	change => '39P01 a BEFORE trigger on table "gov_events" has changed column "amount"',
	point => '39P01 a BEFORE trigger on table "gov_events" has changed column "reverses"',
	call => '55000 governance cannot be called while it writes a row');
foreach my $what (sort keys %answers)
{
	sql("create trigger b before insert on gov_events for each row execute function before('$what')");
	each_call(3, sub {
		my ($name, $sql) = @_;
		is(fails($sql), $answers{$what}, "$name: a trigger that does '$what' before");
	});
	is(fails(q{select 1 from gov_reverse((select min(id) from gov_events), 1)}), $answers{$what}, "reverse: a trigger that does '$what' before");
	sql('drop trigger b on gov_events');
	is_exact($what);
}
sql(q{create trigger b before insert on gov_events for each row when (new.amount > 5) execute function before('refuse')});
is(fails(q{select 1 from gov_ingest_many('acme', '[{"capabilityId": "tokens", "amount": 1, "entityIds": ["agent-1"]}, {"capabilityId": "tokens", "amount": 6, "entityIds": ["agent-1"]}]')}), 'P0001 not today', 'of a batch one row is refused, and with it the call');
sql(q{drop trigger b on gov_events; create trigger b before insert on gov_events for each row execute function before('set')});
each_call(3, sub {
	my ($name, $sql) = @_;
	sql($sql);
	is(sql(q{select region, twice from gov_events order by id desc limit 1}), 'asia|6', "$name: a trigger sets a column of the user's");
});
sql('drop trigger b on gov_events');
is_exact('triggers before');

# ---------------------------------------------------------------- who, and without the cache

sql(q{
	create role app;
	select gov_grant('app', 'app'), gov_grant('app', 'reader');
	create trigger each_row after insert on gov_events for each row execute function note();
	truncate audit});
sql('set role app; ' . sprintf "select 1 from gov_ingest($agent)", 2);
is(sql('select who from audit'), 'app', 'triggers run as the caller');
sql(q{truncate audit; revoke insert on audit from public});
like(fails('set role app; ' . sprintf "select 1 from gov_ingest($agent)", 2), qr/^42501 permission denied for table audit/, 'with his rights');
sql(q{grant insert on audit to public; truncate audit; alter system set governance.use_cache = off; select pg_reload_conf()});
$node->poll_query_until('postgres', q{select current_setting('governance.use_cache') = 'off'});
each_call(3, sub { my ($name, $sql) = @_; sql("truncate audit; $sql"); is(sql('select count(*) from audit'), 1, "$name: without the cache"); });
sql(q{alter system reset governance.use_cache; select pg_reload_conf()});

# ---------------------------------------------------------------- a session that has written before

sql('drop trigger each_row on gov_events; truncate audit');
my $session = $node->background_psql('postgres', on_error_stop => 0);
my $noted = sprintf "select 1 from gov_ingest($agent); select count(*) from audit", 2;

is(gov_ask($session, $noted), "1\n0", 'a session that knows the table');
sql('create trigger each_row after insert on gov_events for each row execute function note()');
is(gov_ask($session, $noted), "1\n1", 'learns of a trigger');
sql('alter table gov_events disable trigger each_row');
is(gov_ask($session, $noted), "1\n1", 'and that it is disabled');
sql('alter table gov_events add constraint few check (amount < 1) not valid');
like(gov_ask($session, $noted), qr/violates check constraint "few"/, 'of a constraint');
sql('alter table gov_events drop constraint few');
is(gov_ask($session, "begin; alter table gov_events enable trigger each_row; $noted; rollback; $noted"), "1\n2\n1\n1", 'and of what it does and undoes itself');
sql('alter table gov_events enable trigger each_row');
$session->quit;

# ---------------------------------------------------------------- as before, without additions

sql(q{drop trigger each_row on gov_events; alter table gov_events drop region, drop twice, drop serial, drop label, drop plain;
	alter table gov_reservations drop region, drop thrice});
each_call(3, sub { my ($name, $sql) = @_; sql($sql); });
is_exact('at the end');

$node->stop;
done_testing();
