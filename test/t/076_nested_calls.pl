# Code of users that runs in the middle of a call cannot call again: a trigger on a table that a call writes, an expression of
# an index. It gets a clear error, and nothing of the call counts. Triggers on what users write themselves may call.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";

use PostgreSQL::Test::Utils;
use Test::More;
use GovTest;

my $node = gov_node('nested', conf => 'autovacuum = off');
my $nested = qr/calls of governance do not nest/;

sub sql { return $node->safe_psql('postgres', $_[0]); }

gov_build($node, 'postgres', limit => 100);
sql(q{
	update gov_assignments set alert_thresholds = '{50}' where entity_id = 'agent-1';
	create table noted (what text);
	create function note() returns trigger language plpgsql as $$ begin insert into public.noted values (tg_table_name || ' ' || tg_op); return new; end $$;
	create function consume() returns trigger language plpgsql as
	$$ begin insert into public.noted select 'granted ' || is_granted from public.gov_consume('acme', 'tokens', 1, null, '{agent-1}'); return new; end $$;
	create function check_it() returns trigger language plpgsql as
	$$ begin perform public.gov_allowed('acme', 'tokens', 1, null, '{agent-1}'); return new; end $$;
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

# ---------------------------------------------------------------- what calls write

for my $function ('consume', 'check_it')
{
	sql("create trigger t after insert on gov_alerts for each row execute function $function()");
	gov_raises($node, 'postgres', q{select gov_ingest('acme', 'tokens', 60, null, '{agent-1}')}, '55000', "$function in an alert", $nested);
	is(used(), '2 and 0', 'nothing of the call counts');
	sql('drop trigger t on gov_alerts');

	my $hold = sql(q{select reservation_id from gov_reserve('acme', 'tokens', 5, null, '{agent-1}')});
	sql("create trigger t before update on gov_reservations for each row execute function $function()");
	gov_raises($node, 'postgres', "select gov_settle('$hold')", '55000', "$function as a hold is settled", $nested);
	gov_raises($node, 'postgres', "select gov_release('$hold')", '55000', "$function as a hold is released", $nested);
	is(used(), '2 and 5', 'the hold is as it was');
	sql('drop trigger t on gov_reservations');
	is(sql("select gov_release('$hold')"), 't', 'and can be released');
}

# In an open session: it works on, and a savepoint is enough.
my $session = $node->background_psql('postgres', on_error_stop => 0);
sql('create trigger t before update on gov_reservations for each row execute function consume()');
$session->query_safe('begin');
my $mine = $session->query_safe(q{select reservation_id from gov_reserve('acme', 'tokens', 7, null, '{agent-1}')});
$session->query_safe('savepoint s');
gov_session_raises($session, "select gov_release('$mine')", '55000', 'in a transaction');
$session->query_safe('rollback to s');
is($session->query_safe(q{select is_granted from gov_consume('acme', 'tokens', 3, null, '{agent-1}')}), 't', 'which goes on after it');
$session->query_safe('commit');
is(used(), '5 and 7', 'and counts');
sql('drop trigger t on gov_reservations');
sql("select gov_release('$mine')");
$session->quit;

# An index's expression that is not as immutable as it says.
sql(q{create function spy(owner text) returns boolean language plpgsql immutable as $$ begin return public.gov_allowed(owner, 'tokens', 1, null, '{agent-1}'); end $$;
	create index spies on gov_events (spy(owner_id)) where amount = 4});
gov_raises($node, 'postgres', q{select gov_ingest('acme', 'tokens', 4, null, '{agent-1}')}, '55000', 'an index on the ledger', $nested);
gov_raises($node, 'postgres', q{select gov_consume('acme', 'tokens', 4, null, '{agent-1}', 'key')}, '55000', 'with a key', $nested);
is(used(), '5 and 0', 'nothing of it counts');
sql('drop index spies');
is(sql(q{select is_duplicate from gov_consume('acme', 'tokens', 4, null, '{agent-1}', 'key')}), 'f', 'the key was never used');

# What does not call is left alone.
sql(q{create trigger t after insert on gov_alerts for each row execute function note(); create trigger t before update on gov_reservations for each row execute function note()});
sql(q{select gov_ingest('acme', 'tokens', 60, null, '{agent-1}')});
sql(q{select gov_release(reservation_id) from gov_reserve('acme', 'tokens', 5, null, '{agent-1}')});
is(noted(), 'gov_alerts INSERT, gov_reservations UPDATE', 'triggers that do not call work');
is(sql('select * from gov_verify()'), '', 'gov_verify finds nothing');

$node->stop;
done_testing();
