with scores as (
    select plan, seed, split, cluster, package, bits, n_bytes
    from {{ ref('stg_scores') }}
),

heldout as (
    select plan, seed, cluster, package, bits, n_bytes
    from scores
    where split = 'heldout'
),

micro as (
    select
        plan,
        seed,
        sum(bits) / sum(n_bytes) as bpb,
        count(*) as n_documents
    from heldout
    group by plan, seed
),

clusters as (
    select
        plan,
        seed,
        sum(bits) / sum(n_bytes) as bpb,
        row_number() over (partition by plan, seed order by sum(bits) / sum(n_bytes) desc) as place,
        count(*) over (partition by plan, seed) as n_clusters
    from heldout
    group by plan, seed, cluster
),

macro_clusters as (
    select
        plan,
        seed,
        avg(bpb) as bpb,
        avg(bpb) filter (where place <= ceil(n_clusters / 4)) as worst_quartile_bpb
    from clusters
    group by plan, seed
),

packages as (
    select
        plan,
        seed,
        sum(bits) / sum(n_bytes) as bpb
    from heldout
    group by plan, seed, package
    having count(*) >= {{ var('min_documents_per_package') }}
),

macro_packages as (
    select
        plan,
        seed,
        avg(bpb) as bpb
    from packages
    group by plan, seed
),

-- The smallest quarter of the clusters by training tokens, rounded up.
cluster_sizes as (
    select
        clusters.cluster,
        sum(tokens.n_tokens) as n_tokens
    from {{ ref('stg_clusters') }} as clusters
    inner join {{ ref('stg_tokens') }} as tokens on clusters.document_id = tokens.document_id
    where clusters.split = 'train'
    group by clusters.cluster
),

rare_clusters as (
    select cluster
    from cluster_sizes
    qualify row_number() over (order by n_tokens, cluster) <= ceil(count(*) over () / 4)
),

-- Null where a cluster was scored on one side only: such a cluster has no gap.
rare_cluster_gaps as (
    select
        scores.plan,
        scores.seed,
        sum(scores.bits) filter (where scores.split = 'heldout')
        / sum(scores.n_bytes) filter (where scores.split = 'heldout')
        - sum(scores.bits) filter (where scores.split = 'train')
        / sum(scores.n_bytes) filter (where scores.split = 'train') as gap
    from scores
    inner join rare_clusters on scores.cluster = rare_clusters.cluster
    group by scores.plan, scores.seed, scores.cluster
),

rare_gaps as (
    select
        plan,
        seed,
        avg(gap) as gap
    from rare_cluster_gaps
    group by plan, seed
),

training as (
    select
        plan,
        seed,
        avg(trained_tokens) as trained_tokens,
        avg(final_loss) as final_loss
    from {{ ref('stg_checkpoints') }}
    group by plan, seed
)

select
    micro.plan,
    avg(micro.bpb)::double as micro_bpb,
    avg(macro_clusters.bpb)::double as macro_cluster_bpb,
    avg(macro_packages.bpb)::double as macro_package_bpb,
    avg(macro_clusters.worst_quartile_bpb)::double as worst_quartile_bpb,
    avg(rare_gaps.gap)::double as rare_cluster_gap,
    count(*)::bigint as n_seeds,
    avg(micro.n_documents)::bigint as n_documents,
    avg(training.trained_tokens)::bigint as trained_tokens,
    avg(training.final_loss)::double as final_loss
from micro
left join macro_clusters on micro.plan = macro_clusters.plan and micro.seed = macro_clusters.seed
left join macro_packages on micro.plan = macro_packages.plan and micro.seed = macro_packages.seed
left join rare_gaps on micro.plan = rare_gaps.plan and micro.seed = rare_gaps.seed
left join training on micro.plan = training.plan and micro.seed = training.seed
group by micro.plan
order by macro_cluster_bpb, micro.plan
