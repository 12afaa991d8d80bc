# Strict budgets under concurrent writers: whatever eight sessions do at the same time, at every moment the children of an
# entity have no more than its strict budget. First one statement a transaction, which never deadlocks; then several, with
# savepoints, rollbacks and every isolation level.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";

use IPC::Run;
use PostgreSQL::Test::Utils;
use Test::More;
use GovTest;

my $node = gov_node('allocation', conf => "deadlock_timeout = '100ms'");
my $writers = 8;

# Two parents, one above the other too, and a dozen of leaves.
$node->safe_psql('postgres', q{
	insert into gov_entity_types (id) values ('node');
	insert into gov_capabilities (id) values ('tokens');
	insert into gov_entities (owner_id, id, type_id, parent_id) values ('acme', 'p0', 'node', null), ('acme', 'p1', 'node', 'p0'), ('acme', 'p2', 'node', 'p0');
	insert into gov_entities (owner_id, id, type_id, parent_id) select 'acme', 'c' || n, 'node', 'p' || n % 3 from generate_series(1, 12) n;
	insert into gov_assignments (owner_id, entity_id, capability_id, usage_limit, strict_allocation)
	select 'acme', id, 'tokens', case when id = 'p0' then 400 when id like 'p%' then 120 else 5 end, id like 'p%' from gov_entities;

	-- The strict budgets that are broken, out of the tables alone.
	create view broken as
	select p.entity_id, p.name, p.usage_limit, s.given
	from gov_assignments p
	join gov_entities e on e.owner_id = p.owner_id and e.id = p.entity_id and e.archived_at is null
	cross join lateral (
		select sum(a.usage_limit) as given
		from gov_entities c
		join gov_assignments a on a.owner_id = c.owner_id and a.entity_id = c.id
		where c.owner_id = p.owner_id and c.parent_id = p.entity_id and c.archived_at is null
			and a.capability_id = p.capability_id and a.scope_entity_ids = '{}' and a.name = ''
			and a.cadence is not distinct from p.cadence) s
	where p.strict_allocation and s.given > p.usage_limit;

	create function any_of(ids text[]) returns text language sql volatile as $$
		select ids[1 + floor(random() * cardinality(ids))::int]
	$$;

	-- A random change. Each writer has a leaf that it alone moves.
	create function change(writer int) returns text language plpgsql as $$
	declare
		leaf text := 'c' || 1 + floor(random() * 12)::int;
		own text := 'c' || writer;
		parent text := 'p' || floor(random() * 3)::int;
		either text := any_of(array[leaf, leaf, leaf, parent]);
		size int := floor(random() * 80);
	begin
		return case floor(random() * 12)::int
			when 0 then format('insert into gov_assignments (owner_id, entity_id, capability_id, usage_limit) values (%L, %L, %L, %s) on conflict do nothing', 'acme', leaf, 'tokens', size)
			when 1 then format('delete from gov_assignments where owner_id = %L and entity_id = %L', 'acme', leaf)
			when 2 then format('update gov_assignments set usage_limit = %s where owner_id = %L and entity_id = %L', size * 3, 'acme', parent)
			when 3 then format('update gov_assignments set strict_allocation = %L where owner_id = %L and entity_id = %L', random() < 0.8, 'acme', parent)
			when 4 then format('update gov_assignments set cadence = %L where owner_id = %L and entity_id = %L', any_of('{NULL, NULL, P1M}'), 'acme', either)
			when 5 then format('select gov_upsert_entities(%L, %L)', 'acme', jsonb_build_array(jsonb_build_object('id', own, 'parentId', parent)))
			when 6 then format('select gov_archive_entities(%L, %L)', 'acme', array[either])
			when 7 then format('select gov_unarchive_entities(%L, array(select id from gov_entities where owner_id = %L and archived_at is not null union select %L))', 'acme', 'acme', either)
			when 8 then format('select gov_upsert_assignments(%L, %L)', 'acme', (
				select jsonb_agg(jsonb_build_object('entityId', 'c' || n, 'capabilityId', 'tokens', 'usageLimit', floor(random() * 60), 'cadence', null))
				from generate_series(1, 12) n where random() < 0.3 or 'c' || n = leaf))
			when 9 then format('select gov_upsert_assignments(%L, %L)', 'acme', jsonb_build_array(
				jsonb_build_object('entityId', own, 'capabilityId', 'tokens', 'usageLimit', size, 'cadence', null, 'parentId', parent),
				jsonb_build_object('entityId', parent, 'capabilityId', 'tokens', 'usageLimit', size * 3)))
			else format('update gov_assignments set usage_limit = %s where owner_id = %L and entity_id = %L', size, 'acme', leaf)
		end;
	end $$;

	create table outcome (phase int, state text, count bigint);

	-- One writer. A change that is refused is undone alone; a transaction of several may be undone in part and as a whole.
	create procedure write(writer int, phase int, transactions int) language plpgsql as $$
	declare
		outcomes jsonb := '{}';
		got text;
		place text;
	begin
		for n in 1..transactions loop
			for m in 1..case phase when 1 then 1 else 1 + floor(random() * 4)::int end loop
				begin
					execute change(writer);
					if phase = 2 and random() < 0.2 then
						raise division_by_zero;
					end if;
					got := 'done';
				exception
					when division_by_zero then got := 'undone';
					when others then
						got := sqlstate;
						if got not in ('23514', '40001', '40P01') then
							get stacked diagnostics place = pg_exception_context;
							got := format('%s %s %s', got, sqlerrm, place);
						end if;
				end;
				outcomes := outcomes || jsonb_build_object(got, coalesce((outcomes ->> got)::int, 0) + 1);
				exit when got in ('40001', '40P01');
			end loop;
			if got in ('40001', '40P01') or phase = 2 and random() < 0.2 then
				rollback;
			else
				commit;
			end if;
			if phase = 2 then
				-- of the transaction after the next one
				perform set_config('default_transaction_isolation', any_of('{read committed, repeatable read, serializable}'), false);
			end if;
		end loop;
		insert into outcome select phase, e.key, e.value::bigint from jsonb_each_text(outcomes) e;
	end $$;

	-- The reader: looks until it is told to stop.
	create table reading (looks bigint, is_over boolean);
	insert into reading values (0, false);
	create procedure watch() language plpgsql as $$
	declare
		found_broken text;
		n bigint := 0;
	begin
		loop
			select string_agg(b::text, ' ') into found_broken from broken b;
			if found_broken is not null then
				raise exception 'broken: %', found_broken;
			end if;
			n := n + 1;
			exit when (select is_over from reading);
			commit;
		end loop;
		update reading set looks = n;
	end $$});

sub start_session
{
	my ($sql) = @_;
	my %session = (out => '');

	$session{run} = IPC::Run::start([ 'psql', '-XAtq', '-v', 'VERBOSITY=verbose', '-d', $node->connstr('postgres'), '-c', $sql ], '>&', \$session{out});
	return \%session;
}

# SERIALIZABLE transactions are cancelled at their commit too, which no block of PL/pgSQL can catch: such a writer goes on.
sub run_phase
{
	my ($phase, $transactions) = @_;

	$node->safe_psql('postgres', 'update reading set looks = 0, is_over = false');
	my $reader = start_session('call watch()');
	my @alive = map { start_session("call write($_, $phase, $transactions)") } 1 .. $writers;
	my @failed;
	foreach my $writer (@alive)
	{
		$writer->{run}->finish;
		push @failed, $writer->{out} if $writer->{out} ne '' && $writer->{out} !~ /ERROR:  40001:/;
	}
	$node->safe_psql('postgres', 'update reading set is_over = true');
	$reader->{run}->finish;
	is("@failed", '', "phase $phase: no writer failed");
	is($reader->{out}, '', "phase $phase: no strict budget was ever broken");
	cmp_ok($node->safe_psql('postgres', 'select looks from reading'), '>', 20, "phase $phase: the reader looked");
	is($node->safe_psql('postgres', 'select count(*) from broken'), '0', "phase $phase: nor is one in the end");

	my %count = map { split /\|/ } split /\n/, $node->safe_psql('postgres', "select state, sum(count) from outcome where phase = $phase group by 1 order by 1");
	note join ', ', map { "$_: $count{$_}" } sort keys %count;
	cmp_ok($count{done} // 0, '>', 100, "phase $phase: changes were made");
	cmp_ok($count{23514} // 0, '>', $phase == 1 ? 100 : 4, "phase $phase: changes were refused");
	return \%count;
}

my $single = run_phase(1, 400);
is(join(' ', grep { !/^(done|23514)$/ } sort keys %$single), '', 'one statement at a time never deadlocks, nor fails in another way');

foreach my $round (1 .. 4)
{
	$node->safe_psql('postgres', 'truncate outcome');
	my $several = run_phase(2, 60);
	is(join(' ', grep { !/^(done|undone|23514|40001|40P01)$/ } sort keys %$several), '', 'several fail in no other way than they may');
}
is($node->safe_psql('postgres', 'select * from gov_verify()'), '', 'the counts equal the ledger');

$node->stop;
done_testing();
