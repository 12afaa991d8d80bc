# Paging while rows change: four sessions use, correct, hold, raise and lower limits, make and delete budgets, archive, rename and move
# entities, while others walk through the pages of gov_query in every order. A row that was there throughout a walk is in it once.
#
# A run follows from its seed as far as the walks go: SEED=n prove ...
use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";

use PostgreSQL::Test::Utils;
use Test::More;
use GovRandom;
use GovSession;
use GovTest;

use constant { STEADY => 150, COMING => 60, SECONDS => 20 };

my $seed = $ENV{SEED} // time();
my $node = gov_node('paging', conf => "fsync = off");

note "SEED=$seed";
srand($seed);

# What is steady stays where it is, with budgets that stay; only what is used, held and allowed there changes. What is coming comes and goes.
$node->safe_psql('postgres', <<"SQL");
insert into gov_entity_types (id) values ('team'), ('user');
insert into gov_capabilities (id) values ('tokens'), ('calls');
insert into gov_entities (owner_id, id, type_id) values ('acme', 'root', 'team'), ('acme', 'side', 'team');
insert into gov_entities (owner_id, id, type_id, parent_id, created_at)
select 'acme', 'steady-' || n, 'user', 'root', timestamptz '2026-01-01' + interval '1 day' * (n % 7) from generate_series(1, ${\ STEADY}) n;
insert into gov_assignments (owner_id, entity_id, capability_id, scope_entity_ids, name, usage_limit)
select 'acme', 'steady-' || n, 'tokens', case when n % 3 = 0 then '{side}' else '{}' end::text[], case when n % 5 = 0 then 'x' else '' end, case when n % 10 > 0 then n % 10 end
from generate_series(1, ${\ STEADY}) n;
insert into gov_assignments (owner_id, entity_id, capability_id, usage_limit)
select 'acme', 'steady-' || n, 'calls', 10 from generate_series(1, ${\ STEADY}) n where n % 4 = 0;

create table walks (running boolean);
insert into walks values (true);

create procedure churn(me int)
language plpgsql
as \$\$
declare
    n int;
    what double precision;
begin
    perform setseed(me / 10.0);
    while (select running from walks) loop
        n := 1 + floor(random() * ${\ STEADY});
        what := random();
        begin
            if what < 0.35 then
                perform gov_ingest('acme', case when random() < 0.8 then 'tokens' else 'calls' end, (floor(random() * 20) - 8)::numeric, null, array['steady-' || n, 'side']);
            elsif what < 0.5 then
                update gov_assignments set usage_limit = (array[null, 0, 1, 2, 5, 7.5, 100])[1 + floor(random() * 7)] where owner_id = 'acme' and entity_id = 'steady-' || n and capability_id = 'tokens';
            elsif what < 0.55 then
                perform gov_reserve('acme', 'tokens', 0.5, null, array['steady-' || n], ttl => interval '50 milliseconds');
            elsif what < 0.6 then
                update gov_entities set display_name = 'renamed ' || n where owner_id = 'acme' and id = 'steady-' || n;
            elsif what < 0.64 then
                update gov_entities set type_id = 'user', metadata = jsonb_build_object('n', n::text) where owner_id = 'acme' and id = 'steady-' || n;
            elsif what < 0.65 then
                perform gov_drop_cache();
            else
                n := me + 4 * floor(random() * ${\ COMING} / 4);
                if what < 0.8 then
                    insert into gov_entities (owner_id, id, type_id, parent_id) values ('acme', 'coming-' || n, 'team', 'root') on conflict do nothing;
                    insert into gov_assignments (owner_id, entity_id, capability_id, usage_limit) values ('acme', 'coming-' || n, 'tokens', floor(random() * 10)) on conflict do nothing;
                    perform gov_ingest('acme', 'tokens', (random() * 10)::numeric, null, array['coming-' || n]);
                elsif what < 0.87 then
                    delete from gov_assignments where owner_id = 'acme' and entity_id = 'coming-' || n;
                elsif what < 0.9 then
                    delete from gov_entities where owner_id = 'acme' and id = 'coming-' || n;
                elsif what < 0.95 then
                    update gov_entities set archived_at = case when archived_at is null then now() end where owner_id = 'acme' and id = 'coming-' || n;
                else
                    update gov_entities set parent_id = case when parent_id is null then 'root' end where owner_id = 'acme' and id = 'coming-' || n;
                end if;
            end if;
            if random() < 0.2 then
                raise division_by_zero;
            end if;
        exception
            when division_by_zero or foreign_key_violation or object_not_in_prerequisite_state then null;
        end;
        commit;
        perform pg_sleep(0.001);
    end loop;
end
\$\$;
SQL

my %steady;
$steady{$_} = [ split /\n/, $node->safe_psql('postgres', "select entity_id || '/' || capability_id || '/' || array_to_string(scope_entity_ids, ',') || '/' || name from gov_assignments where entity_id like 'steady-%' and $_") ]
  foreach "capability_id = 'tokens'", 'true', "scope_entity_ids = '{}'", "scope_entity_ids <> '{}'";
$steady{entities} = [ map { "$_///" } 'root', 'side', map { "steady-$_" } 1 .. STEADY ];

# Each kind of walk: what is asked, and the steady rows that it must meet.
my @walks = (
	[ q{'{tokens}'}, q{scope => 'all'}, "capability_id = 'tokens'" ],
	[ q{'{tokens,calls}'}, q{scope => 'all'}, 'true' ],
	[ q{'{tokens,calls}'}, q{scope => 'nodeWide'}, "scope_entity_ids = '{}'" ],
	[ q{'{tokens,calls}'}, q{scope => 'scoped', type_ids => '{user}'}, "scope_entity_ids <> '{}'" ],
	[ q{'{tokens,calls}'}, q{search => 'STEADY-', under_entity_id => 'root'}, 'true' ],
	[ 'null', q{scope => 'all'}, 'entities' ]);

my @churners = map { GovSession->new($node, "churn$_") } 1 .. 4;
my @walkers = map { GovSession->new($node, "walk$_") } 1 .. 2;

foreach my $n (1 .. @churners)
{
	# not waited for: the answer comes when the walks are over
	print { $churners[ $n - 1 ]{in} } "call churn($n);\n";
}

# One walk: what is wrong, or nothing.
sub walk
{
	my ($psql, $capabilities, $filter, $must, $sort_by, $sort_order, $page_size) = @_;
	my %met;
	my $after = 'null';

	foreach my $page (1 .. 1000)
	{
		my $answer = $psql->ask(qq{
			select q #>> '{pagination,next}', (select string_agg(concat_ws('/', r ->> 'entityId', coalesce(r ->> 'capabilityId', ''),
				(select coalesce(string_agg(s, ','), '') from jsonb_array_elements_text(case when jsonb_typeof(r -> 'scopeEntityIds') = 'array' then r -> 'scopeEntityIds' else '[]' end) s), coalesce(r ->> 'name', '')), ' ' order by n)
				from jsonb_array_elements(q -> 'data') with ordinality as d (r, n))
			from gov_query('acme', $capabilities, '$sort_by', '$sort_order', $filter, page_size => $page_size, after => $after) as q});
		my ($next, $rows) = split /\|/, $answer, 2;

		$met{$_}++ foreach split / /, $rows;
		last if $next eq '';
		return 'there is no end' if $page == 1000;
		$after = "'$next'";
	}
	my @wrong = grep { ($met{$_} // 0) != 1 } @{ $steady{$must} };
	return @wrong ? @wrong . ' rows: ' . join(', ', map { "$_ " . ($met{$_} // 0) . ' times' } splice @wrong, 0, 5) : undef;
}

my $end = time() + SECONDS;
my ($count, $cancelled, %wrong) = (0, 0);

while (time() < $end)
{
	my $psql = one_of(@walkers);
	my @walk = (@{ one_of(@walks) }, one_of('utilization', 'utilization', 'currentUsage', 'usageLimit', 'scopeSize', 'id', 'createdAt'), one_of('asc', 'desc'), one_of(7, 10, 20, 33, 100));
	# now and then a query is interrupted somewhere
	if (chance(0.1))
	{
		eval { $psql->ask("set statement_timeout = ${\ one_of(1, 2, 5)}; select gov_query('acme', '{tokens,calls}')") };
		$cancelled++ if $@ =~ /statement timeout/;
		# which may be interrupted itself
		until (eval { $psql->ask('reset statement_timeout'); 1 }) { $@ =~ /statement timeout/ or die $@; }
	}
	my $wrong = eval { walk($psql, @walk) };

	$wrong = $@ if $@ ne '';
	if (defined $wrong)
	{
		my $kind = join ' ', @walk;
		$wrong{$kind} //= $wrong;
		last if $@ ne '' || keys %wrong > 5;
	}
	$count++;
}
$node->safe_psql('postgres', 'update walks set running = false');
my @ends = map { eval { $_->ask('select 1') }; $@ } @churners;
is(join('', @ends), '', 'the rows changed until the end');
is(join("\n", map { "$_: $wrong{$_}" } sort keys %wrong), '', "SEED=$seed: what was there throughout was met once");
cmp_ok($count, '>', 20, 'there were walks') or diag $count;
note "$count walks, $cancelled queries cancelled";
cmp_ok($node->safe_psql('postgres', q{select count(*) from gov_events}), '>', 200, 'and changes');
is($node->safe_psql('postgres', 'select * from gov_verify()'), '', 'the counts equal the ledger');

$node->poll_query_until('postgres', q{select not exists (select from gov_reservations where state = 'open')}) or die 'holds do not expire';

# When nothing changes any more, each order has all rows.
foreach my $sort_by ('utilization', 'currentUsage', 'usageLimit', 'scopeSize', 'id', 'createdAt')
{
	is(join(' ', map { walk($walkers[0], @$_, $sort_by, one_of('asc', 'desc'), 7) // () } @walks), '', "at rest, by $sort_by");
}

# And what a session has kept through all of it is what there is.
foreach my $psql (@walkers)
{
	is($psql->ask(q{
		with recursive pages (page) as (
			select gov_query('acme', '{tokens,calls}', 'id', 'asc', page_size => 100)
			union all
			select gov_query('acme', '{tokens,calls}', 'id', 'asc', page_size => 100, after => page #>> '{pagination,next}') from pages where page #>> '{pagination,next}' is not null
		), got as (
			select r ->> 'entityId' as entity, r ->> 'displayName' as name, r ->> 'parentId' as parent, r ->> 'capabilityId' as capability, r ->> 'scopeEntityIds' as scope,
				(r ->> 'usageLimit')::numeric as "limit", (r ->> 'currentUsage')::numeric as usage, (r ->> 'reservedUsage')::numeric as held, (r ->> 'allocated')::numeric as allocated
			from pages, jsonb_array_elements(page -> 'data') as r
		), wanted as (
			select entity_id, display_name, parent_id, capability_id, to_jsonb(scope_entity_ids)::text, usage_limit, current_usage, reserved_usage, allocated from gov_budgets where owner_id = 'acme'
		)
		(select 'got', * from (table got except table wanted) as g) union all (select 'wanted', * from (table wanted except table got) as w)}), '', 'the rows of the view');
}

$_->close foreach @churners, @walkers;
$node->stop;
done_testing();
