# Code of users that runs in the middle of a call and calls again. Triggers may, on the catalog, the alerts and the holds, and what
# they use counts. An expression of an index may not: it gets a clear error, and nothing of the call counts.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";

use PostgreSQL::Test::Utils;
use Test::More;
use GovTest;

my $node = gov_node('nested', conf => 'autovacuum = off');
my $nested = qr/governance cannot be called while it writes a row/;

sub sql { return $node->safe_psql('postgres', $_[0]); }

gov_build($node, 'postgres', limit => 100);
sql(q{
	create table noted (what text);
	create function note() returns trigger language plpgsql as $$ begin insert into public.noted values (tg_table_name || ' ' || tg_op); return new; end $$;
	create function consume() returns trigger language plpgsql as
	$$ begin insert into public.noted select 'granted ' || is_granted from public.gov_consume('acme', 'tokens', 1, null, '{agent-1}'); return new; end $$;
	grant insert on noted to public;
});

sub used { return sql(q{select trim_scale(current_usage) || ' and ' || trim_scale(reserved_usage) from gov_headroom('acme', 'tokens', 0, null, '{agent-1}') where entity_id = 'agent-1'}); }

sub noted
{
	my $noted = sql(q{select coalesce(string_agg(what, ', ' order by what), '') from noted});
	sql('truncate noted');
	return $noted;
}

# ---------------------------------------------------------------- what users write

sql(q{create trigger t before insert or update on gov_entities for each row execute function consume();
	create trigger t after insert or update on gov_assignments for each row execute function consume()});
sql(q{select gov_upsert_entities('acme', '[{"id": "agent-2", "typeRefId": "agent", "parentId": "user-1"}]')});
sql(q{insert into gov_assignments (owner_id, entity_id, capability_id, usage_limit) values ('acme', 'agent-2', 'tokens', 5)});
is(noted(), 'granted true, granted true', 'a trigger on the catalog may use a budget');
is(used(), '2 and 0', 'which counts');
sql(q{update gov_assignments set usage_limit = 2 where entity_id = 'agent-1'});
is(noted(), 'granted false', 'and is decided by what its own transaction has written');
sql(q{drop trigger t on gov_entities; drop trigger t on gov_assignments; update gov_assignments set usage_limit = 100 where entity_id = 'agent-1'});

# Not before: a rollup may see the limit while it is lowered, and then the threshold is crossed already.
sql(q{update gov_assignments set alert_thresholds = '{50}' where entity_id = 'agent-1'});

# ---------------------------------------------------------------- what calls write

# An alert's trigger runs at the end of the transaction, a hold's as it ends: what they use counts, and goes with the transaction.
sql('create trigger t after insert on gov_alerts for each row execute function consume()');
sql(q{begin; select gov_ingest('acme', 'tokens', 60, null, '{agent-1}'); rollback});
is(used(), '2 and 0', 'nothing is crossed by what is rolled back');
sql(q{select gov_ingest('acme', 'tokens', 60, null, '{agent-1}')});
is(noted(), 'granted true', 'a trigger on the alerts may use a budget');
is(used(), '63 and 0', 'which counts');
sql('drop trigger t on gov_alerts');

sql('create trigger t before update on gov_reservations for each row execute function consume()');
my $first = sql(q{select reservation_id from gov_reserve('acme', 'tokens', 5, null, '{agent-1}')});
my $second = sql(q{select reservation_id from gov_reserve('acme', 'tokens', 5, null, '{agent-1}')});
is(sql("begin; select gov_release('$first'); rollback"), 't', 'released and rolled back');
is(used(), '63 and 10', 'as if it had not been');
is(sql("select is_duplicate from gov_settle('$first', 3)"), 'f', 'a trigger on a hold that is settled');
is(used(), '67 and 5', 'may use a budget as well');
is(sql("select gov_release('$second')"), 't', 'or on one that is released');
is(used(), '68 and 0', 'and each is counted');
is(noted(), 'granted true, granted true', 'once');

# A call that is denied because of a hold past its time expires that, whose trigger uses some of what has become free.
sql(q{alter table gov_reservations enable always trigger t});
my $session = $node->background_psql('postgres', on_error_stop => 0);
$session->query_safe('begin');
$session->query_safe(q{select is_granted from gov_reserve('acme', 'tokens', 30, null, '{agent-1}', null, '10 milliseconds')});
$session->query_safe(q{select pg_sleep(0.05)});
is($session->query_safe(q{select is_granted, trim_scale(remaining) from gov_consume('acme', 'tokens', 20, null, '{agent-1}')}),
	't|11', 'a hold past its time, with a trigger');
$session->query_safe('commit');
is(used(), '89 and 0', 'and this is counted too');
$session->quit;
sql('drop trigger t on gov_reservations; truncate noted');

# The same statement, run by a trigger in the midst of itself, after the catalog has moved: its plan is made again, and the one
# that is running stays.
sql(q{create function release_others() returns trigger language plpgsql as $$ begin
		if pg_trigger_depth() = 1 then
			create schema moved; drop schema moved;
			perform public.gov_release(r.id) from public.gov_reservations r where r.state = 'open' and r.id <> new.id;
		end if;
		return new;
	end $$;
	create trigger t after update on gov_reservations for each row execute function release_others()});
is(sql(q{select gov_release(reservation_id) from gov_reserve('acme', 'tokens', 1, null, '{agent-1}');
	select count(*) from generate_series(1, 3) n, gov_reserve('acme', 'tokens', n, null, '{agent-1}');
	select gov_release(id) from gov_reservations where state = 'open' limit 1;
	select count(*) from gov_reservations where state = 'open'}), "t\n3\nt\n0", 'a hold whose trigger releases the others');
is(used(), '89 and 0', 'and all of them are given back');
sql('drop trigger t on gov_reservations');

# An index's expression that is not as immutable as it says.
sql(q{create function spy(owner text) returns boolean language plpgsql immutable as $$ begin return public.gov_allowed(owner, 'tokens', 1, null, '{agent-1}'); end $$;
	create index spies on gov_events (spy(owner_id)) where amount = 4});
gov_raises($node, 'postgres', q{select gov_ingest('acme', 'tokens', 4, null, '{agent-1}')}, '55000', 'an index on the ledger', $nested);
gov_raises($node, 'postgres', q{select gov_consume('acme', 'tokens', 4, null, '{agent-1}', 'key')}, '55000', 'with a key', $nested);
is(used(), '89 and 0', 'nothing of it counts');
sql('drop index spies');
is(sql(q{select is_duplicate from gov_consume('acme', 'tokens', 4, null, '{agent-1}', 'key')}), 'f', 'the key was never used');

# What does not call is left alone.
sql(q{create trigger t after insert on gov_alerts for each row execute function note(); create trigger t before update on gov_reservations for each row execute function note()});
sql(q{update gov_assignments set alert_thresholds = '{95}' where entity_id = 'agent-1'});
sql(q{select gov_ingest('acme', 'tokens', 2, null, '{agent-1}')});
sql(q{select gov_release(reservation_id) from gov_reserve('acme', 'tokens', 5, null, '{agent-1}')});
is(noted(), 'gov_alerts INSERT, gov_reservations UPDATE', 'triggers that do not call work');
is(sql('select * from gov_verify()'), '', 'gov_verify finds nothing');

$node->stop;
done_testing();
