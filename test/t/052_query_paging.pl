# Paging while everything changes: no row that is there throughout is repeated or skipped, whatever it is sorted by.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";

use IPC::Run;
use PostgreSQL::Test::Utils;
use Test::More;
use GovSession;
use GovTest;

use constant {
	BIG => 100_000,    # budgets of the one owner, two to an entity
	SMALL => 1_500     # of the other, which changes all the time
};

my $node = gov_node('paging', conf => "shared_buffers = 64MB\ngovernance.cache_size = '64MB'");

# What stays is called stays-…, and nothing else is.
$node->safe_psql('postgres', q{
	insert into gov_entity_types (id) values ('team'), ('user');
	insert into gov_capabilities (id) values ('tokens');
	create table stop (x int)});
foreach ([ 'big', BIG ], [ 'small', SMALL ])
{
	my ($owner, $budgets) = @$_;
	my $entities = $budgets / 2;

	$node->safe_psql('postgres', qq{
		begin;
		insert into gov_entities (owner_id, id, type_id) select '$owner', 'team-' || n, 'team' from generate_series(0, 9) n;
		insert into gov_entities (owner_id, id, type_id, parent_id, created_at)
		select '$owner', 'stays-' || n, 'user', 'team-' || n % 10, timestamptz '2026-01-01' + n % 100 * interval '1 day' from generate_series(1, $entities) n;
		insert into gov_assignments (owner_id, entity_id, capability_id, usage_limit, name, scope_entity_ids)
		select '$owner', 'stays-' || n, 'tokens', 10 + n % 50, s, case s when '' then '{}' else array['team-' || n % 10] end
		from generate_series(1, $entities) n, unnest('{"",more}'::text[]) s;
		insert into gov_entities (owner_id, id, type_id) select '$owner', 'flickers-' || n, 'user' from generate_series(1, 50) n;
		insert into gov_assignments (owner_id, entity_id, capability_id, usage_limit) select '$owner', 'flickers-' || n, 'tokens', 10 from generate_series(1, 50) n;
		commit});
}
$node->safe_psql('postgres', 'analyze');

# ---------------------------------------------------------------- writers

my @writers;

# Something, again and again, each time in a transaction of its own, until told to stop, which takes minutes on a slow machine. There are
# many changes to a page; more of them would only take the processors from who reads it.
sub start_writer
{
	my ($sql) = @_;
	my $output = '';

	push @writers, [
		IPC::Run::start(
			[ 'psql', '-XAtq', '-d', $node->connstr('postgres'), '-c', 'set statement_timeout = 0', '-c', "do \$\$ begin while not exists (select from stop) loop $sql; commit; perform pg_sleep(0.001); end loop; end \$\$" ],
			'<', \undef, '>&', \$output),
		\$output ];
	return;
}

sub stop_writers
{
	$node->safe_psql('postgres', 'insert into stop values (1)');
	foreach (@writers)
	{
		my ($writer, $output) = @$_;

		$writer->finish;
		is($$output, '', 'a writer had no trouble');
	}
	return;
}

my %catalog = map {
	my $owner = $_;
	my $n = ($owner eq 'big' ? BIG : SMALL) / 2;
	($owner => [
		"update gov_assignments set usage_limit = floor(random() * 60) where owner_id = '$owner' and entity_id = 'stays-' || ceil(random() * $n)",
		"insert into gov_entities (owner_id, id, type_id, parent_id) select '$owner', 'comes-' || x, 'user', 'stays-' || x from (select ceil(random() * $n) as x) y on conflict do nothing",
		"insert into gov_assignments (owner_id, entity_id, capability_id, usage_limit) select owner_id, id, 'tokens', random() * 60 from gov_entities where owner_id = '$owner' and id like 'comes-%' order by random() limit 1 on conflict do nothing",
		"delete from gov_assignments where owner_id = '$owner' and entity_id = (select id from gov_entities where owner_id = '$owner' and id like 'comes-%' order by random() limit 1)",
		"delete from gov_entities where owner_id = '$owner' and id = (select id from gov_entities e where owner_id = '$owner' and id like 'comes-%' and not exists (select from gov_assignments a where a.owner_id = e.owner_id and a.entity_id = e.id) limit 1)",
		"update gov_entities set archived_at = case when archived_at is null then now() end where owner_id = '$owner' and id = 'flickers-' || ceil(random() * 50)"
	]);
} qw(big small);

start_writer("perform gov_ingest('big', 'tokens', floor(random() * 9)::int - 2, null, array['stays-' || ceil(random() * ${\(BIG / 2)}), 'team-1'])");
start_writer("perform gov_ingest('small', 'tokens', floor(random() * 9)::int - 2, null, array['stays-' || ceil(random() * ${\(SMALL / 2)}), 'team-1'])");
start_writer(join '; ', @{ $catalog{small} });

# ---------------------------------------------------------------- the reader

my $reader = GovSession->new($node, 'reader');
my $editor = GovSession->new($node, 'editor');

# How often each row of a traversal was shown; after so many pages that is enough.
sub traverse
{
	my ($owner, $sort, $order, $most_pages, $capabilities) = @_;
	my $next;
	my %shown;
	my $pages = 0;

	do
	{
		my $after = defined $next ? "'$next'" : 'null';
		my $page = $reader->ask(qq{
			select p #>> '{pagination,next}',
				(select string_agg((r ->> 'entityId') || '/' || coalesce(r ->> 'name', 'tree'), ' ') from jsonb_array_elements(p -> 'data') r)
			from gov_query('$owner', $capabilities, '$sort', '$order', page_size => 100, after => $after) p});
		my $keys;

		($next, $keys) = split /\|/, $page;
		$shown{$_}++ foreach split / /, $keys // '';
		$pages++;

		# reading a large owner anew takes a while: change it now and then only
		if ($owner eq 'big' && $pages % 200 == 50)
		{
			$editor->ask($_) foreach @{ $catalog{big} };
		}
	} while ($next && (!$most_pages || $pages < $most_pages));
	return \%shown;
}

sub is_whole
{
	my ($shown, $wanted, $label) = @_;
	my @stays = grep { /^stays-/ } keys %$shown;

	is(scalar(grep { $shown->{$_} > 1 } @stays), 0, "$label: nothing is repeated");
	is(scalar @stays, $wanted, "$label: nothing is skipped") if defined $wanted;
	return;
}

my $began = $node->safe_psql('postgres', 'select clock_timestamp()');

foreach my $sort (qw(utilization currentUsage usageLimit scopeSize id createdAt))
{
	foreach my $order (qw(asc desc))
	{
		is_whole(traverse('small', $sort, $order, 0, q('{tokens}')), SMALL, "$sort $order");
	}
}
is_whole(traverse('small', 'createdAt', 'desc', 0, 'null'), SMALL / 2, 'tree, createdAt desc');
is_whole(traverse('small', 'utilization', 'desc', 0, 'null'), SMALL / 2, 'tree, utilization desc');
cmp_ok($node->safe_psql('postgres', "select count(*) from gov_events where owner_id = 'small'"), '>', 100, 'usage went on meanwhile');
cmp_ok($node->safe_psql('postgres', "select count(*) from gov_assignments where owner_id = 'small' and updated_at > '$began'"), '>', 10, 'and so did changes');
is_whole(traverse('big', 'id', 'asc', 0, q('{tokens}')), BIG, BIG . ' budgets, id asc');
is_whole(traverse('big', 'utilization', 'desc', 100, q('{tokens}')), undef, BIG . ' budgets, utilization desc, some of it');

stop_writers();

# When nothing changes any more, the fullest stand in front.
is( $reader->ask(q{select (select array_agg(r -> 'utilization' order by n) from jsonb_array_elements(gov_query('big', '{tokens}', page_size => 100) -> 'data') with ordinality x (r, n))
		= (select array_agg(to_jsonb(utilization)) from (select utilization from gov_budgets where owner_id = 'big' order by utilization desc nulls last limit 100) b)}),
	't', 'the first page of ' . BIG . ' budgets');
is($node->safe_psql('postgres', 'select * from gov_verify()'), '', 'the counts equal the ledger');
done_testing();
