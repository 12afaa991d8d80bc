-- Is the cache large enough? Evictions that grow all the time say no: raise governance.cache_size.
select
    max(value) filter (where name = 'cache_nodes') as entities,
    max(value) filter (where name = 'cache_used_bytes') as used_bytes,
    max(value) filter (where name = 'cache_size_bytes') as size_bytes,
    round(100 * max(value) filter (where name = 'cache_used_bytes') / nullif(max(value) filter (where name = 'cache_size_bytes'), 0), 1) as percent_used,
    max(value) filter (where name = 'cache_evictions') as evictions,
    max(value) filter (where name = 'cache_loads') as loads,
    round(100 * max(value) filter (where name = 'cache_hits')
        / nullif(max(value) filter (where name = 'cache_hits') + max(value) filter (where name = 'cache_loads'), 0), 2) as percent_hits
from gov_stats;
